"""Changes from control that training units show, by context and condition."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from scdfm.metrics.baselines.units import Array, MeasuredUnits
from scdfm.screen.conditions import Condition


class Changes:
    """Training deltas, looked up by context and condition."""

    def __init__(self, training: MeasuredUnits) -> None:
        self.contexts = np.array(training.contexts)
        self.delta = training.delta
        self._rows: dict[Condition, list[int]] = {}
        for row, condition in enumerate(training.conditions):
            self._rows.setdefault(condition, []).append(row)

    def average(self, context: str) -> Array:
        """Mean change of the conditions of a context, or of all when it has none, (genes,)."""
        here = np.flatnonzero(self.contexts == context)
        return _mean(self.delta[here]) if len(here) else self.overall

    @cached_property
    def overall(self) -> Array:
        """Mean change of all conditions, each the mean over its contexts, (genes,)."""
        return _mean([_mean(self.delta[self._rows[one]]) for one in sorted(self._rows)])

    def single(self, token: str, *, context: str) -> Array | None:
        """Change made by a token alone, (genes,); None when no training unit shows it."""
        rows = self._rows.get((token,), [])
        here = [row for row in rows if self.contexts[row] == context]
        return _mean(self.delta[here or rows]) if rows else None


def _mean(deltas: Array | Sequence[Array]) -> Array:
    """Average over the first axis."""
    average: Array = np.mean(deltas, axis=0)
    return average
