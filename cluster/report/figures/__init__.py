"""Figures from plain values: arrays and names in, a drawing with its title and words out."""
