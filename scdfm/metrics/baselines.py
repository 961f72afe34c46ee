"""Simple predictions that a model must beat: no change, the average change, the sum of changes.

All work on pseudobulk means of log1p expression, fitted on training + validation units. Changes
(deltas) are taken from the control of a unit's own context and added to the control of the
context to predict; with one context that is the same as averaging the means themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scdfm.screen.conditions import Condition

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """Units with the control of their contexts: what a baseline may know of a test unit.

    Attributes:
        contexts: Context of each unit.
        conditions: Sorted tokens of each unit.
        control: Control mean of each unit's context, (units, genes).
    """

    contexts: tuple[str, ...]
    conditions: tuple[Condition, ...]
    control: Array

    def __post_init__(self) -> None:
        """Refuse lists of different lengths."""
        if not len(self.contexts) == len(self.conditions) == len(self.control):
            raise ValueError(
                "each unit needs a context, a condition and a control mean, got "
                f"{len(self.contexts)}, {len(self.conditions)} and {len(self.control)}"
            )


@dataclass(frozen=True)
class MeasuredUnits(Units):
    """Training units, with the mean of their cells, (units, genes)."""

    mean: Array

    def __post_init__(self) -> None:
        """Refuse an empty training part and means of other units or genes."""
        super().__post_init__()
        if self.mean.shape != self.control.shape or not len(self.mean):
            raise ValueError(
                f"baselines need training units with means like their controls, got shapes "
                f"{self.mean.shape} and {self.control.shape}"
            )

    @property
    def delta(self) -> Array:
        """Change from control, (units, genes)."""
        return self.mean - self.control


class Prediction(NamedTuple):
    """Means (units, genes), and the units (units,) for which something had to be left out."""

    mean: Array
    incomplete: NDArray[np.bool_]


def control(test: Units) -> Prediction:
    """No change: the control mean of the unit's context."""
    return Prediction(test.control.copy(), np.zeros(len(test.conditions), dtype=bool))


def perturbed_mean(training: MeasuredUnits, test: Units) -> Prediction:
    """Control plus the mean change of the training conditions.

    Of those of the unit's own context; where none trained there, over all contexts (units
    averaged within a condition, then conditions).
    """
    changes = _Changes(training)
    mean = np.stack([changes.average(context) for context in test.contexts])
    return Prediction(test.control + mean, np.zeros(len(test.conditions), dtype=bool))


def additive(training: MeasuredUnits, test: Units) -> Prediction:
    """Control plus the sum of the changes that each token made alone.

    A token's change comes from the unit's own context, else from the mean over the contexts
    where it was measured alone. A token never measured alone adds nothing, and the unit is
    marked incomplete: an unseen single then comes out as no change.

    Source: Ahlmann-Eltze et al. 2025, which defines it for doubles of seen singles only.
    """
    changes = _Changes(training)
    mean = test.control.copy()
    incomplete = np.zeros(len(test.conditions), dtype=bool)
    for row, (context, tokens) in enumerate(zip(test.contexts, test.conditions, strict=True)):
        for token in tokens:
            change = changes.single(token, context=context)
            if change is None:
                incomplete[row] = True
            else:
                mean[row] += change
    return Prediction(mean, incomplete)


def all_baselines(training: MeasuredUnits, test: Units) -> dict[str, Prediction]:
    """Every baseline by the name that reports give it."""
    return {
        "control": control(test),
        "perturbed mean": perturbed_mean(training, test),
        "additive": additive(training, test),
    }


class _Changes:
    """Training deltas, looked up by context and condition."""

    def __init__(self, training: MeasuredUnits) -> None:
        self.contexts = np.array(training.contexts)
        self.conditions = training.conditions
        self.delta = training.delta

    def average(self, context: str) -> Array:
        """Mean change of the conditions of a context, or of all when it has none, (genes,)."""
        here = np.flatnonzero(self.contexts == context)
        if len(here):
            return _mean(self.delta[here])
        return _mean([_mean(self.delta[self._rows(one)]) for one in sorted({*self.conditions})])

    def single(self, token: str, *, context: str) -> Array | None:
        """Change made by a token alone, (genes,); None when no training unit shows it."""
        rows = self._rows((token,))
        here = [row for row in rows if self.contexts[row] == context]
        return _mean(self.delta[here or rows]) if rows else None

    def _rows(self, condition: Condition) -> list[int]:
        return [row for row, one in enumerate(self.conditions) if one == condition]


def _mean(deltas: Array | Sequence[Array]) -> Array:
    """Average over the first axis."""
    average: Array = np.mean(deltas, axis=0)
    return average
