"""How wrong a model may be before its error is measured: a variance for each gene of a unit.

With a base it is the base's posterior variance; without, only its shape is known, that of the
variance between control cells. `scdfm.flow.certainty.intervals` says what becomes of it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cluster.work.controls import Controls
from cluster.work.sampler import starting_cells
from data_store.store.reader import Store
from data_store.stream import Cells
from scdfm.metrics.shrunken import Base, variance_by_gene
from scdfm.screen.conditions import Condition

Array = NDArray[np.float64]

SOME_CELLS = 256  # of a context's controls, or of a unit: its variance is known well enough


def control_variances(controls: Controls, contexts: Sequence[str]) -> Array:
    """Variance between the control cells of each context, (contexts, model genes); 0 of one."""
    known: dict[str, Array] = {}
    for context in dict.fromkeys(contexts):
        rows = controls.rows(context)
        some = starting_cells(rows, condition=(), cells=min(SOME_CELLS, len(rows)), seed=0)
        cells = controls.expression(some.rows)
        known[context] = cells.var(axis=0, ddof=min(1, len(cells) - 1), dtype=np.float64)
    return np.stack([known[context] for context in contexts])


def model_variances(base: Base | None, conditions: Sequence[Condition], *, cells: Array) -> Array:
    """Variance of a model's error before its factor, (units, model genes).

    Args:
        base: Of the model, if it has one.
        conditions: Of each unit.
        cells: Variance between the control cells of each unit's context, (units, model genes).
    """
    if base is not None:
        return variance_by_gene(base, conditions, cells=cells)
    mean = cells.mean(axis=1, keepdims=True)
    shape: Array = np.where(mean > 0, cells / np.where(mean > 0, mean, 1), 1.0)
    return shape


def measured_noise(store: Store, cells: Sequence[Cells], *, columns: NDArray[np.int64]) -> Array:
    """Variance of units' measured means by the choice of their cells, (units, genes).

    A unit of a single cell varies as its controls do.
    """

    def noise(part: Cells) -> Array:
        count = part.stop - part.start
        of = part if count > 1 else store.controls[store.units[part.unit].context]
        some = store.expression(of.start, min(of.stop, of.start + SOME_CELLS), genes=columns)
        variance: Array = some.var(axis=0, ddof=min(1, len(some) - 1), dtype=np.float64)
        return variance / count

    return np.stack([noise(part) for part in cells])
