"""Which conditions train, validate and test: pure functions of (condition names, seed)."""

from scdfm.splits.config import SplitConfig
from scdfm.splits.make import make_split
from scdfm.splits.split import Split

__all__ = ["Split", "SplitConfig", "make_split"]
