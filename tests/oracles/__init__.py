"""Two oracles that are run on every exit: a canary in every step of every field, and twin worlds."""
