"""Attention as it is computed on CPU."""
