"""Principal components of cells, from running sums over blocks of them. Loads no torch.

Memory: two (genes, genes) matrices of float64, 0.4 GB for 5,000 genes.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

NOTHING = 1e-10  # of the largest variance: a component below it is rounding


def principal_components(
    groups: Iterable[Iterable[NDArray[np.floating]]], *, genes: int, rank: int
) -> NDArray[np.float32]:
    """The directions in which cells vary most around the mean of their own group.

    Args:
        groups: Blocks of cells of each group, each (cells, genes). A group is a context: what
            tells contexts apart is no change that a cell can make.
        genes: Genes of every block.
        rank: How many directions.

    Returns:
        Orthonormal columns, (genes, rank), the largest variance first; zeros where cells do not
        vary in so many.
    """
    scatter = np.zeros((genes, genes))
    for blocks in groups:
        scatter += _scatter(blocks, genes=genes)
    found = min(rank, genes)
    variances, directions = eigh(scatter, subset_by_index=[genes - found, genes - 1])
    variances, directions = variances[::-1], directions[:, ::-1]
    directions = directions * (variances > NOTHING * max(variances[0], 0.0))
    # Either sign is an eigenvector; the largest loading decides, so that machines agree.
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.where(directions[largest, np.arange(found)] < 0, -1.0, 1.0)
    components = np.zeros((genes, rank), dtype=np.float32)
    components[:, :found] = directions
    return components


def _scatter(blocks: Iterable[NDArray[np.floating]], *, genes: int) -> NDArray[np.float64]:
    """Sum over cells of their products around their mean, (genes, genes)."""
    products, sums, shift, cells = np.zeros((genes, genes)), np.zeros(genes), None, 0
    for block in blocks:
        exact = block.astype(np.float64)
        # Around the first block's mean, or products of large means hide what varies.
        shift = exact.mean(axis=0) if shift is None else shift
        exact -= shift
        products += exact.T @ exact
        sums += exact.sum(axis=0)
        cells += len(exact)
    return products - np.outer(sums, sums) / max(1, cells)
