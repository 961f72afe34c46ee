"""A finished store: what is in it, and how it is read."""
