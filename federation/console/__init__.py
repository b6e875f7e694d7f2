"""Pages for people, rendered on the server. They show what the gate gives and hold no logic of sharing."""
