"""A page and an HTTP API by which songs get their genres and their reasons."""
