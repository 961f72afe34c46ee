"""What the values of a source are, and how they are read."""
