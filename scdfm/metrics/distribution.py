"""How far generated cells of a condition are from its real ones, as distributions.

At most 2,000 cells on each side take part in distances between cells. A distance of distributions
of different cells is never 0: compare with real cells against real cells.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from scdfm.metrics.metric import Metric
from scdfm.metrics.pseudobulk import Array
from scdfm.metrics.units import Cells, UnitCells, dense

BANDWIDTHS = (0.5, 1.0, 2.0, 4.0)  # times the median squared distance of the real cells
MOST_CELLS = 2_000
GENES_AT_ONCE = 256


def mmd2(unit: UnitCells) -> float:
    """Unbiased squared maximum mean discrepancy, the mean over four Gaussian kernels.

    The bandwidths come from the real cells alone. Expected to be 0 for cells of one distribution,
    so it may be negative. Undefined with fewer than 2 cells on a side.

    Source: scDFM (Yu et al. 2026), Algorithm 1; Gretton et al. 2012 for the estimator.
    """
    generated, real = _sides(unit)
    n, m = len(generated), len(real)
    if min(n, m) < 2:
        return float("nan")
    squares = _squared_distances(np.concatenate([generated, real]))
    median = np.median(squares[n:, n:][np.triu_indices(m, k=1)])
    kernel = np.zeros_like(squares)
    for bandwidth in BANDWIDTHS:
        kernel += np.exp(squares / (-2 * bandwidth * (median or 1.0))) / len(BANDWIDTHS)
    within_generated = (kernel[:n, :n].sum() - n) / (n * (n - 1))
    within_real = (kernel[n:, n:].sum() - m) / (m * (m - 1))
    return float(within_generated + within_real - 2 * kernel[:n, n:].mean())


def energy_distance(unit: UnitCells) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'| over pairs of different cells, in Euclidean distance.

    Expected to be 0 for cells of one distribution, so it may be negative. Undefined with fewer
    than 2 cells on a side.

    Source: Szekely and Rizzo 2013, the U-statistic.
    """
    generated, real = _sides(unit)
    n, m = len(generated), len(real)
    if min(n, m) < 2:
        return float("nan")
    apart = np.sqrt(_squared_distances(np.concatenate([generated, real])))
    within = apart[:n, :n].sum() / (n * (n - 1)) + apart[n:, n:].sum() / (m * (m - 1))
    return float(2 * apart[:n, n:].mean() - within)


def wasserstein1(unit: UnitCells) -> float:
    """Mean over genes of the Wasserstein-1 distance between the two distributions of a gene."""
    generated, real = _predicted(unit), unit.real
    n, m = generated.shape[0], real.shape[0]
    # Between these levels both quantile functions are constant, for every gene.
    levels = np.unique(np.concatenate([np.arange(n + 1) / n, np.arange(m + 1) / m]))
    middle, widths = (levels[1:] + levels[:-1]) / 2, np.diff(levels)
    left, right = (middle * n).astype(np.intp), (middle * m).astype(np.intp)
    total = 0.0
    for genes in _blocks(real.shape[1]):
        ours, theirs = (np.sort(dense(cells[:, genes]), axis=0) for cells in (generated, real))
        total += float((widths @ np.abs(ours[left].astype(np.float64) - theirs[right])).sum())
    return total / int(real.shape[1])


def variance_error(unit: UnitCells) -> float:
    """Mean over genes of the absolute difference of variances over cells.

    Undefined with fewer than 2 cells on a side.
    """
    ours, theirs = _predicted(unit), unit.real
    if min(ours.shape[0], theirs.shape[0]) < 2:
        return float("nan")
    return float(np.abs(_variance(ours) - _variance(theirs)).mean())


def zero_fraction_error(unit: UnitCells) -> float:
    """Mean over genes of the absolute difference of the shares of cells without the gene."""
    return float(np.abs(_seen(_predicted(unit)) - _seen(unit.real)).mean())


def _predicted(unit: UnitCells) -> Cells:
    assert unit.predicted is not None, "only units with predicted cells are measured"
    return unit.predicted


def _sides(unit: UnitCells) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Generated and real cells, a fixed choice of them where there are many."""
    generated, real = (
        dense(cells[_some(cells.shape[0])]) for cells in (_predicted(unit), unit.real)
    )
    return generated, real


def _some(cells: int) -> NDArray[np.intp]:
    """Which of so many cells take part; the choice depends on their number alone."""
    if cells <= MOST_CELLS:
        return np.arange(cells)
    return np.sort(np.random.default_rng(cells).choice(cells, MOST_CELLS, replace=False))


def _squared_distances(cells: NDArray[np.floating]) -> Array:
    """Squared Euclidean distances, exactly 0 on the diagonal, (cells, cells)."""
    # Centring first keeps the Gram form accurate where cells differ little from each other.
    centred = cells - cells.mean(axis=0, dtype=np.float64)
    lengths = np.square(centred).sum(axis=1)
    squares: Array = np.maximum(lengths[:, None] + lengths - 2 * (centred @ centred.T), 0)
    np.fill_diagonal(squares, 0)
    return squares


def _variance(cells: Cells) -> Array:
    parts = [
        dense(cells[:, genes]).var(axis=0, ddof=1, dtype=np.float64)
        for genes in _blocks(cells.shape[1])
    ]
    return np.concatenate(parts)


def _seen(cells: Cells) -> Array:
    """Share of cells with each gene, (genes,)."""
    count = cells.shape[0]
    if isinstance(cells, np.ndarray):
        seen: Array = np.count_nonzero(cells, axis=0) / count
        return seen
    columns = cells.tocsc()
    columns.eliminate_zeros()
    return np.asarray(np.diff(columns.indptr) / count)


def _blocks(genes: int) -> Iterator[slice]:
    """Genes in pieces, so that no more than a few are dense at a time."""
    return (slice(first, first + GENES_AT_ONCE) for first in range(0, genes, GENES_AT_ONCE))


MMD2 = Metric(
    of_cells=mmd2,
    mode="min",
    says="How far generated and real cells differ as clouds of points, over all genes together "
    "(0 is best; it may be a little below).",
)
ENERGY_DISTANCE = Metric(
    of_cells=energy_distance,
    mode="min",
    says="How much farther apart generated and real cells are than cells of one kind are among "
    "themselves (0 is best).",
)
WASSERSTEIN1 = Metric(
    of_cells=wasserstein1,
    mode="min",
    says="How far the values of a gene must be moved to turn generated into real cells, "
    "averaged over genes.",
)
VARIANCE_ERROR = Metric(
    of_cells=variance_error,
    mode="min",
    says="How far the spread of a gene's values is off, averaged over genes.",
)
ZERO_FRACTION_ERROR = Metric(
    of_cells=zero_fraction_error,
    mode="min",
    says="How far the share of cells without a gene is off, averaged over genes.",
)
