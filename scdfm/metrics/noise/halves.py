"""One half of the real cells as a prediction of the other: what no prediction can beat by skill."""

import numpy as np
from numpy.typing import NDArray

from scdfm.metrics.pseudobulk import Array


def half_means(
    cells: NDArray[np.float32], *, halvings: int, generator: np.random.Generator
) -> tuple[Array, Array]:
    """Means of the halves of a unit's cells, each (halvings, genes).

    NaN for a unit of one cell, which has no halves. Of an odd number one cell is left out, so
    that both halves are equally noisy.

    Args:
        cells: (cells, genes).
        halvings: How often to draw halves.
        generator: Draws them.
    """
    half = len(cells) // 2
    if not half:
        none = np.full((halvings, cells.shape[1]), np.nan)
        return none, none.copy()
    # One product for all halvings: a row of weights is +1/half, or 0, for each cell.
    first, second = np.zeros((2, halvings, len(cells)), dtype=np.float32)
    for row in range(halvings):
        order = generator.permutation(len(cells))
        first[row, order[:half]] = second[row, order[half : 2 * half]] = 1
    return (first @ cells).astype(np.float64) / half, (second @ cells).astype(np.float64) / half
