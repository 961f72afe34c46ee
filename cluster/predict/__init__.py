"""Cells of new conditions, by a pool of Ray actors."""
