"""What metrics may know beside means: a few numbers for each gene, kept of cells that are not.

Memory grows with units x genes, never with cells.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from scdfm.metrics.pseudobulk import Array, Pseudobulks
from scdfm.metrics.units import UnitCells

FDR = 0.05  # below it a gene counts as changed, as in cell-eval
Small = NDArray[np.float32]
Measure = Callable[[UnitCells], float]  # a number from the cells of a unit


class CellFacts(NamedTuple):
    """What is kept of the cells of each unit, and of their comparison with controls.

    A row that nothing is known of is NaN throughout.
    """

    cells: NDArray[np.int64]  # how many there are, (units,)
    variance: Small  # over cells, (units, genes); NaN for a single cell
    controls: NDArray[np.int64]  # how many they were compared with, (units,)
    control_variance: Small  # over control cells, (units, genes)
    p_value: Array  # Mann-Whitney U against controls, two-sided, (units, genes)
    fdr: Small  # p values after Benjamini-Hochberg within the unit, (units, genes)
    lfc: Small  # log2 fold change of geometric means, as in cell-eval, (units, genes)
    lfc_arithmetic: Small  # log2 fold change of arithmetic means, as in cell-eval2

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Genes that changed, (units, genes)."""
        changed: NDArray[np.bool_] = self.fdr < np.float32(FDR)
        return changed


class Training(NamedTuple):
    """What metrics take from the training conditions; no test cell has a part in it."""

    mean: Array  # centroid of the conditions' means, (genes,)
    weights: Array  # of each gene, summing to one, larger where conditions change it, (genes,)


@dataclass(frozen=True)
class Evidence(Pseudobulks):
    """Means of units, and whatever else is known of them; `gather` makes it from cells.

    Attributes:
        training: Of the training conditions.
        real_cells: Of the real cells of each unit.
        predicted_cells: Of the predicted ones.
        predicted_noise: Sampling variance of predicted means that are known better than by their
            cells, (units, genes); NaN in the rows of others; none: there is none.
        measured: Numbers from cells, (units,), by the function that computed them
            (`Metric.of_cells`).
    """

    training: Training | None = None
    real_cells: CellFacts | None = None
    predicted_cells: CellFacts | None = None
    predicted_noise: Array | None = None
    measured: Mapping[Measure, Array] = field(default_factory=dict)

    def of_means(self, predicted: Array) -> Self:
        """Another prediction of the same units, known by its means alone, (units, genes)."""
        return type(self)(
            contexts=self.contexts,
            conditions=self.conditions,
            genes=self.genes,
            predicted=predicted,
            real=self.real,
            control=self.control,
            training=self.training,
            real_cells=self.real_cells,
        )

    @property
    def both_cells(self) -> tuple[CellFacts, CellFacts]:
        """Of real and of predicted cells; for metrics that need both."""
        assert self.real_cells is not None, "Metric.needs says so"
        assert self.predicted_cells is not None, "Metric.needs says so"
        return self.real_cells, self.predicted_cells

    @property
    def significant(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Genes that changed in real and in predicted cells, (units, genes)."""
        real, predicted = self.both_cells
        return real.significant, predicted.significant
