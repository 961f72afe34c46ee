"""What metrics compare: a unit's expression averaged over its cells, predicted and real.

Expression is log1p(counts per 10k). A unit is a condition in a context.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scdfm.screen.conditions import JOINT

Array = NDArray[np.float64]

ROUNDING = 1e-6  # a smaller change, relative to its means, is rounding of float32 values


@dataclass(frozen=True)
class Pseudobulks:
    """Predicted and real means of the same units, and the control mean of each unit's context.

    Attributes:
        contexts: Context of each unit.
        conditions: Canonical condition name of each unit.
        genes: Names of the evaluation genes.
        predicted: (units, genes). A row with any value that is not finite becomes NaN throughout:
            it is not a prediction, and all its metrics are undefined.
        real: (units, genes).
        control: (units, genes), of the control cells of the unit's own context.
        predicted_control: (units, genes), of controls that came with the prediction, from which
            its changes are measured; none: the real ones.
        tokens_are_genes: Whether conditions perturb genes; a drug that is spelt like one is none.
    """

    contexts: tuple[str, ...]
    conditions: tuple[str, ...]
    genes: tuple[str, ...]
    predicted: Array
    real: Array
    control: Array
    predicted_control: Array | None = None
    tokens_are_genes: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse arrays that are not about the same units and genes."""
        shape = (len(self.conditions), len(self.genes))
        if len(self.contexts) != len(self.conditions) or 0 in shape:
            raise ValueError(
                f"metrics need a context and a condition for each of at least 1 unit and 1 gene, "
                f"got {len(self.contexts)}, {len(self.conditions)} and {len(self.genes)} genes"
            )
        units = list(zip(self.contexts, self.conditions, strict=True))
        if len(set(units)) < len(units):
            raise ValueError("each (context, condition) must come once, got one twice; merge them")
        for name in ("predicted", "real", "control", "predicted_control"):
            if getattr(self, name) is None:
                continue
            array = np.asarray(getattr(self, name), dtype=np.float64)
            if array.shape != shape:
                raise ValueError(f"{name} must be (units, genes) = {shape}, got {array.shape}")
            finite = np.isfinite(array).all(axis=1, keepdims=True)
            if name == "predicted":
                array = np.where(finite, array, np.nan)
            elif not finite.all():
                raise ValueError(f"{name} must be finite, got NaN or infinite means")
            object.__setattr__(self, name, array)

    @property
    def predicted_delta(self) -> Array:
        """Predicted changes from control, (units, genes)."""
        return self.predicted - self._start

    @property
    def real_delta(self) -> Array:
        """Real changes from control, (units, genes)."""
        return self.real - self.control

    @property
    def scale(self) -> Array:
        """Size of the means that a predicted change comes from, (units,); NaN like the row."""
        scale: Array = np.linalg.norm(self.predicted, axis=1) + np.linalg.norm(self._start, axis=1)
        return scale

    @property
    def _start(self) -> Array:
        return self.control if self.predicted_control is None else self.predicted_control

    @property
    def real_scale(self) -> Array:
        """Size of the means that a real change comes from, (units,)."""
        scale: Array = np.linalg.norm(self.real, axis=1) + np.linalg.norm(self.control, axis=1)
        return scale


def own_genes(units: Pseudobulks) -> NDArray[np.bool_]:
    """Genes that a unit's condition perturbs, (units, genes)."""
    column = {gene: i for i, gene in enumerate(units.genes) if units.tokens_are_genes}
    own = np.zeros((len(units.conditions), len(units.genes)), dtype=bool)
    for row, condition in enumerate(units.conditions):
        own[row, [column[one] for one in condition.split(JOINT) if one in column]] = True
    return own


def without_rounding(changes: Array, *, scale: Array) -> Array:
    """The changes, (units, genes), exactly 0 in rows that are nothing but rounding.

    Args:
        changes: Differences of means.
        scale: Size of the means that each row comes from, (units,).
    """
    small = np.linalg.norm(changes, axis=1) <= ROUNDING * scale
    kept: Array = np.where(small[:, None], 0.0, changes)
    return kept
