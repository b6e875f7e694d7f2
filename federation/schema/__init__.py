"""GraphQL: types derived from the registry, reads compiled for the gate. It must never read records itself."""
