"""Whole genes are held out. Source: SCIENCE section 5."""

from typing import TYPE_CHECKING

from scdfm.screen.randomness import numpy_generator
from scdfm.splits.kinds.kind import Chosen, SplitKind, whole
from scdfm.splits.screen import Screen

if TYPE_CHECKING:
    from scdfm.splits.config import SplitConfig

GENES = 12
FRACTION = 0.2


def holdout(config: "SplitConfig", screen: Screen) -> Chosen:
    """Test every condition that holds one of a few genes, so that these are never seen.

    Genes come from the doubles where there are any. (The release leaves other doubles of the
    held-out genes in training: a leak, not followed.)
    """
    candidates = sorted(screen.tokens(screen.doubles or screen.singles))
    count = _held_out(config, screen, candidates=len(candidates))
    draw = numpy_generator(config.seed, "holdout genes", config.fold)
    held_out = set(draw.choice(candidates, size=count, replace=False).tolist())
    return Chosen(
        test=tuple(name for name, tokens in screen.conditions.items() if held_out & {*tokens})
    )


def _held_out(config: "SplitConfig", screen: Screen, *, candidates: int) -> int:
    """How many genes to hold out of the candidates."""
    if config.genes is None and (config.fraction is not None or not screen.doubles):
        share = whole((config.fraction or FRACTION) * candidates)
        return min(max(1, share), candidates)
    count = config.genes or GENES
    if count > candidates:
        raise ValueError(
            f"holdout needs {count} genes to hold out, got {candidates} to choose from; "
            f"set the split's genes (--genes, or split.genes) to {max(1, candidates // 3)} or so"
        )
    return count


HOLDOUT = SplitKind(holdout, options=("fraction", "genes"), automatic=True)
