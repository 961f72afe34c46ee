"""Stores as runs open them."""
