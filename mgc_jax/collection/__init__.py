"""A model over whole collections: which songs, and results that are written one by one and can be gone on with."""
