"""The cells of one unit, as a metric of cells sees them.

Expression is log1p(counts per 10k). A unit is a condition in a context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scdfm.metrics.pseudobulk import Array

if TYPE_CHECKING:
    from scipy.sparse import csr_array, csr_matrix

Cells: TypeAlias = "NDArray[np.floating] | csr_array | csr_matrix"  # (cells, genes)


@dataclass(frozen=True)
class UnitCells:
    """Predicted and real cells of a unit, and the controls that both are compared with.

    Attributes:
        context: Context of the unit.
        condition: Canonical condition name.
        real: Real cells of the condition, (cells, genes).
        control: Real control cells of the context, (cells, genes); the same object for all units
            of a context, so that they are ranked once.
        predicted: Generated cells, (cells, genes); none: only their mean is known.
        predicted_mean: Mean of the prediction, (genes,), where it is known better than by the
            generated cells; none: their mean.
        predicted_noise: Sampling variance of that mean, (genes,); none: of the generated cells.
        predicted_control: Controls that came with the prediction; none: the real ones.
    """

    context: str
    condition: str
    real: Cells
    control: Cells
    predicted: Cells | None = None
    predicted_mean: Array | None = None
    predicted_noise: Array | None = None
    predicted_control: Cells | None = None

    def __post_init__(self) -> None:
        """Refuse a unit without real cells or prediction, and cells of other genes."""
        given = {
            "real": self.real,
            "control": self.control,
            "predicted": self.predicted,
            "predicted_control": self.predicted_control,
        }
        if self.predicted is None and self.predicted_mean is None:
            raise ValueError(f"{self.condition} needs predicted cells or their mean, got neither")
        for name, cells in given.items():
            if cells is not None and (cells.ndim != 2 or 0 in cells.shape):
                raise ValueError(
                    f"{name} cells of {self.condition} must be (cells, genes), at least one of "
                    f"each, got shape {cells.shape}"
                )
        counts = {name: cells.shape[1] for name, cells in given.items() if cells is not None}
        if self.predicted_mean is not None:
            counts["predicted_mean"] = len(self.predicted_mean)
        if len(set(counts.values())) > 1:
            raise ValueError(
                f"all cells of {self.condition} must have the same genes, got {counts}"
            )


def dense(cells: Cells) -> NDArray[np.floating]:
    """Cells as an array, (cells, genes)."""
    return cells if isinstance(cells, np.ndarray) else cells.toarray()


def mean_of(cells: Cells) -> Array:
    """Mean over cells in float64, (genes,)."""
    if isinstance(cells, np.ndarray):
        mean: Array = cells.mean(axis=0, dtype=np.float64)
        return mean
    # Sums of scipy's matrices are as narrow as their values.
    rows = cells.tocsr()
    total = np.bincount(rows.indices, weights=rows.data, minlength=cells.shape[1])
    return total.astype(np.float64, copy=False) / cells.shape[0]
