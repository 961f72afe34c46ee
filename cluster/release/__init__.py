"""A model made of a checkpoint that the authors' code has trained."""
