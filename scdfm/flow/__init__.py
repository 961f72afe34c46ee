"""What a step minimises, the loop around it, and how cells are generated."""
