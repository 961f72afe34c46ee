"""Differential expression: which genes of a condition differ from control, and by how much."""
