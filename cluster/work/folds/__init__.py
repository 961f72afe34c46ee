"""Folds of a run: runs of their own, which say how long to train the run itself."""
