"""Folders with a Matrix Market file: its text, its lines, and the tables beside it."""
