"""Means of cells that are drawn again, with replacement: what the choice of cells does to a score.

Controls are shared by all conditions of a context, so their noise does not average out over
conditions and must be drawn. The noise of a condition's own cells is in the spread between
conditions already; drawing it, too, would count it twice (Davison & Hinkley 1997, section 3.8). So
it is drawn only where conditions are too few to be drawn themselves.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scdfm.metrics.pseudobulk import Array, Pseudobulks

FEW = 5  # conditions; of fewer a bootstrap over conditions says nothing


def fixed_enough(conditions: int) -> bool:
    """Whether conditions are so few that only their cells are drawn, and they stay as they are."""
    return conditions < FEW


def drawn_means(cells: NDArray[np.float32], *, draws: int, generator: np.random.Generator) -> Array:
    """Means of as many cells, drawn with replacement, (draws, genes).

    Args:
        cells: (cells, genes).
        draws: How many.
        generator: Draws them.
    """
    count = len(cells)
    weights = generator.multinomial(count, np.full(count, 1 / count), size=draws)
    means: Array = (weights.astype(np.float32) @ cells).astype(np.float64) / count
    return means


@dataclass(frozen=True)
class Draws:
    """Means of drawn cells.

    Attributes:
        control: By context, (draws, genes).
        real: Of each unit, (draws, genes); None where conditions are drawn instead.
    """

    control: dict[str, Array]
    real: tuple[Array, ...] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.control.values())))

    def of(self, units: Pseudobulks) -> Iterator[Pseudobulks]:
        """The same prediction on each draw: it moves along with the controls that it starts from.

        Args:
            units: Predicted, real and control means of all cells.
        """
        for draw in range(len(self)):
            control = np.stack([self.control[context][draw] for context in units.contexts])
            moved = control - units.control
            own = units.predicted_control
            yield replace(
                units,
                predicted=units.predicted + moved,
                predicted_control=None if own is None else own + moved,
                real=units.real if self.real is None else np.stack([u[draw] for u in self.real]),
                control=control,
            )
