"""Pairs of a configuration and a split, whichever sweep they belong to."""
