"""The graph of correlated genes, from running sums over blocks of cells.

Memory: one (genes, genes) matrix, 1.6 GB for 20,000 genes, and pieces of a fixed size.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from scdfm.gene_graph.graph import GeneGraph, symmetric

ROWS = 1024  # genes compared at once, at most
PIECE = 2**23  # values of a temporary array, at most: fewer rows of more genes
FLOAT64_GENES = 8192  # above, sums of products are kept in float32


def pearson_graph(
    blocks: Iterable[NDArray[np.floating]], *, genes: int, k: int, positive: bool = False
) -> GeneGraph:
    """Join each gene with the k genes of largest |Pearson| correlation; symmetrise by union.

    A gene with fewer than k other genes keeps all of them; a gene without variance has only itself.
    Ties go to the gene that comes first.

    Args:
        blocks: log1p expression of training cells, each (cells, genes); any block sizes.
        genes: Genes of every block.
        k: Neighbours of a gene, itself not counted.
        positive: Leave out genes correlated at or below zero, instead of using |r|.

    Raises:
        ValueError: A block has another number of genes, or there are fewer than 2 cells.

    Source: scDFM, eq. 7. (The release logs the data twice; not followed.)
    """
    moments = _CoMoments(genes)
    for block in blocks:
        moments.add(block)
    if moments.cells < 2:
        raise ValueError(
            f"a gene graph needs at least 2 training cells, got {moments.cells}; "
            "use a split with more training cells, or graph: none"
        )
    rows, columns = [], []
    for start, stop in _pieces(genes):
        closeness = moments.correlation(start, stop)
        if not positive:
            np.abs(closeness, out=closeness)
        row, column = _largest(closeness, k=k, first=start, above=0.0 if positive else -1.0)
        rows.append(row)
        columns.append(column)
    return symmetric(np.concatenate(rows), np.concatenate(columns), genes=genes)


def _pieces(genes: int) -> Iterable[tuple[int, int]]:
    """Cut the genes into runs whose rows of the (genes, genes) matrix fit a piece."""
    rows = max(1, min(ROWS, PIECE // genes))
    return ((start, min(start + rows, genes)) for start in range(0, genes, rows))


class _CoMoments:
    """Running sums from which the correlation of every pair of genes follows.

    Sums are taken around the first block's means; otherwise products of large means would hide
    the covariances. Only the upper triangle of the products is computed.
    """

    def __init__(self, genes: int) -> None:
        dtype = np.float64 if genes <= FLOAT64_GENES else np.float32
        self.cells = 0
        self.products = np.zeros((genes, genes), dtype=dtype)
        self.sums = np.zeros(genes)
        self.squares = np.zeros(genes)
        self.shift = np.zeros(genes)
        self.lowest = np.full(genes, np.inf)
        self.highest = np.full(genes, -np.inf)

    def add(self, block: NDArray[np.floating]) -> None:
        """Count a block of cells, (cells, genes)."""
        genes = len(self.sums)
        if block.ndim != 2 or block.shape[1] != genes:
            raise ValueError(f"blocks must be (cells, {genes}), got {block.shape}")
        if not len(block):
            return
        self.lowest = np.minimum(self.lowest, block.min(axis=0))
        self.highest = np.maximum(self.highest, block.max(axis=0))
        exact = block.astype(np.float64)
        if not self.cells:
            self.shift = exact.mean(axis=0)
        exact -= self.shift
        self.cells += len(block)
        self.sums += exact.sum(axis=0)
        self.squares += np.einsum("cg,cg->g", exact, exact)
        centred = exact.astype(self.products.dtype, copy=False)
        for start, stop in _pieces(genes):
            self.products[start:stop, start:] += centred[:, start:stop].T @ centred[:, start:]

    def correlation(self, start: int, stop: int) -> NDArray[np.float64]:
        """Pearson correlation of genes start to stop with all genes; NaN without variance."""
        products = np.empty((stop - start, len(self.sums)))
        products[:, :start] = self.products[:start, start:stop].T
        products[:, start:] = self.products[start:stop, start:]
        deviation = np.sqrt(np.maximum(self.squares - self.sums**2 / self.cells, 0.0))
        # Rounding leaves a constant gene a tiny variance; its range says the truth.
        deviation[self.lowest == self.highest] = np.nan
        products -= np.outer(self.sums[start:stop], self.sums) / self.cells
        products /= np.outer(deviation[start:stop], deviation)
        return products


def _largest(
    closeness: NDArray[np.float64], *, k: int, first: int, above: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the k closest genes of each row as (row, column) pairs.

    Args:
        closeness: (rows, genes); NaN is never close. Overwritten.
        k: At most this many for a row.
        first: Gene of row 0; a gene is not its own neighbour here.
        above: Only values greater than this count.
    """
    rows, genes = closeness.shape
    closeness[np.arange(rows), first + np.arange(rows)] = np.nan
    closeness[~(closeness > above)] = -np.inf
    found = closeness > -np.inf
    if k < genes:
        limit = np.partition(closeness, genes - k, axis=1)[:, genes - k, None]
        found &= closeness >= limit
        for tied in np.flatnonzero(found.sum(axis=1) > k):
            # Equals of the k-th: the first ones, so that ties fall alike on every machine.
            equals = np.flatnonzero(closeness[tied] == limit[tied])
            found[tied, equals[len(equals) - (int(found[tied].sum()) - k) :]] = False
    row, column = np.nonzero(found)
    return first + row, column
