"""Paths from source to target: where a cell is, at which times, and which cells are paired."""
