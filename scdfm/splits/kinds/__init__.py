"""The kinds of split: each chooses what is tested."""

from scdfm.splits.kinds.kind import Chosen, SplitKind
from scdfm.splits.kinds.registry import KINDS

__all__ = ["KINDS", "Chosen", "SplitKind"]
