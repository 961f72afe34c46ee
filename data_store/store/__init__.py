"""A store as it stands: what is in it, and how it is read."""
