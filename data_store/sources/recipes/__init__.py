"""How published files are read."""
