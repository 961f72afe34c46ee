"""How a sweep stands: looked at from another process, or shown beside other tools."""
