"""Small screens for metrics: cells of a few conditions, real and generated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from scdfm.metrics import Evidence, Training, UnitCells
from scdfm.metrics.gather import gather

Cells = NDArray[np.float32]


@dataclass(frozen=True)
class Screen:
    """Cells by condition on both sides, and controls that both share."""

    genes: tuple[str, ...]
    control: Cells
    real: dict[str, Cells]
    predicted: dict[str, Cells]

    def units(self, *, sparse: bool = False, context: str = "c") -> Iterator[UnitCells]:
        """The units that metrics take."""
        as_given = csr_matrix if sparse else np.asarray
        control = as_given(self.control)
        for condition, real in self.real.items():
            yield UnitCells(
                context=context,
                condition=condition,
                real=as_given(real),
                control=control,
                predicted=as_given(self.predicted[condition]),
            )

    def evidence(
        self,
        metrics: Sequence[str] | None = None,
        *,
        training: Training | None = None,
        sparse: bool = False,
        threads: int = 1,
    ) -> Evidence:
        """What is gathered from the units."""
        return gather(
            self.units(sparse=sparse),
            genes=self.genes,
            metrics=metrics,
            training=training,
            threads=threads,
        )


def screen(
    *,
    seed: int = 0,
    conditions: Sequence[str] = ("G0", "G1", "G2+G5", "P3", "P4"),
    genes: int = 30,
    cells: int = 40,
    controls: int = 60,
    levels: int | None = None,
    effect: float = 1.0,
) -> Screen:
    """Log counts with many zeros; each condition changes a third of the genes.

    `levels` values per unit are left, so that cells tie; none: as drawn. `effect` is the size of
    the changes, of the log mean.
    """
    draw = np.random.default_rng(seed)
    base = draw.normal(0.3, 1, genes)

    def drawn(count: int, shift: NDArray[np.float64]) -> Cells:
        counts = draw.poisson(np.exp(base + shift + draw.normal(0, 0.3, (count, 1))))
        depth = draw.uniform(0.8, 1.2, (count, 1)) if levels is None else 1.0
        values = np.log1p(counts * depth)
        return (values if levels is None else np.round(values * levels) / levels).astype(np.float32)

    real, predicted = {}, {}
    for position, condition in enumerate(conditions):
        shift = effect * draw.normal(0, 1, genes) * (draw.random(genes) < 1 / 3)
        real[condition] = drawn(cells + position, shift)
        predicted[condition] = drawn(cells - position, 0.6 * shift + draw.normal(0, 0.2, genes))
    return Screen(
        genes=tuple(f"G{i}" for i in range(genes)),
        control=drawn(controls, np.zeros(genes)),
        real=real,
        predicted=predicted,
    )
