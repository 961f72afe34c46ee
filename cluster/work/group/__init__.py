"""A worker among the others of its group: they agree where to stop, and share units."""
