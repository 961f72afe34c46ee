"""A model made from a checkpoint that the authors' code has trained."""
