"""Cells moved so that their mean after clamping at 0 is a wanted one.

Adding a change to control cells and clamping at 0 ends above the wanted mean: what would be
below 0 is cut. So all cells of a gene move by s more, where s makes the mean right.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_GENES_AT_ONCE = 64  # bounds what sorting needs beside the cells
_LEAST = 1e-9  # of a shift: less is rounding, and would make all zeros of a gene positive


def shift_to(cells: NDArray[Any], mean: Array) -> Array:
    """The s of each gene with mean over cells of max(0, cells + s) = mean, (genes,).

    It is exact: with the k largest cells above 0, s = (n * mean - their sum) / k, and k is the
    largest for which the k-th of them is above 0.

    Args:
        cells: Before clamping, (cells, genes), at least one cell.
        mean: Wanted, (genes,); below 0 counts as 0.

    Raises:
        ValueError: There is no cell, or the genes differ.

    Source: SCIENCE.md, section 8.2; solved as a projection onto the simplex is (Held, Wolfe and
    Crowder 1974).
    """
    count, genes = cells.shape
    if not count or mean.shape != (genes,):
        raise ValueError(
            f"expected at least one cell and a mean for each of its genes, got cells of shape "
            f"{cells.shape} and means of shape {mean.shape}"
        )
    shift = np.empty(genes)
    for first in range(0, genes, _GENES_AT_ONCE):
        some = slice(first, first + _GENES_AT_ONCE)
        shift[some] = _shift(cells[:, some].T, np.maximum(mean[some], 0))
    shift[np.abs(shift) < _LEAST] = 0
    return shift


def moved(cells: NDArray[Any], mean: Array, *, clamp: bool) -> NDArray[np.float32]:
    """Cells that all move by the same amount, gene by gene, to the wanted mean, (cells, genes).

    Args:
        cells: (cells, genes).
        mean: Wanted, (genes,); below 0 counts as 0 where cells are clamped.
        clamp: Whether expression below 0 becomes 0.
    """
    if not clamp:
        shift = mean - cells.mean(axis=0, dtype=np.float64)
        shifted: NDArray[np.float32] = (cells + shift).astype(np.float32)
        return shifted
    kept: NDArray[np.float32] = np.maximum(cells + shift_to(cells, mean), 0).astype(np.float32)
    return kept


def _shift(values: NDArray[Any], mean: Array) -> Array:
    # Genes first: sorting what lies side by side is several times faster.
    largest = np.sort(values, axis=1)[:, ::-1].astype(np.float64)
    above = np.arange(1, values.shape[1] + 1)
    shift = (values.shape[1] * mean[:, None] - np.cumsum(largest, axis=1)) / above
    # A wanted mean of 0 leaves no cell above 0: the largest one is moved to 0.
    last = np.maximum((largest + shift > 0).sum(axis=1), 1) - 1
    found: Array = shift[np.arange(len(values)), last]
    return found
