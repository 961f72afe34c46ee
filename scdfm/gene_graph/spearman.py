"""The graph of genes whose ranks correlate, for data that are mostly zeros.

All zeros of a gene share one rank. Ranks are kept as differences from it, so they are as sparse
as the expression; a shift changes no correlation.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import rankdata

from scdfm.gene_graph.correlation import pearson_graph
from scdfm.gene_graph.graph import GeneGraph

RANKED_VALUES = 50_000_000  # non-zero values to rank, at most: they take up to 0.8 GB
_DENSE = 2**24  # values made dense at once


def spearman_graph(
    blocks: Iterable[NDArray[np.floating]], *, genes: int, k: int, positive: bool = False
) -> GeneGraph:
    """Join each gene with the k genes of largest |Spearman| correlation; symmetrise by union.

    Equal values share their average rank. The blocks' non-zero values are held at once, 16 bytes
    each at the peak: give it cells with `RANKED_VALUES` of them or fewer. The rest is as in
    `pearson_graph`, on ranks.

    Args:
        blocks: log1p expression of training cells, each (cells, genes); any block sizes.
        genes: Genes of every block.
        k: Neighbours of a gene, itself not counted.
        positive: Leave out genes correlated at or below zero, instead of using |rho|.

    Raises:
        ValueError: A block has another number of genes, or there are fewer than 2 cells.
    """
    ranks = _ranks(_gathered(blocks, genes=genes))
    return pearson_graph(_dense(ranks), genes=genes, k=k, positive=positive)


def _gathered(blocks: Iterable[NDArray[np.floating]], *, genes: int) -> sparse.csc_array:
    """Expression of all cells, by gene."""
    parts = [sparse.csr_array((0, genes), dtype=np.float32)]
    for block in blocks:
        if block.ndim != 2 or block.shape[1] != genes:
            raise ValueError(f"blocks must be (cells, {genes}), got {block.shape}")
        parts.append(sparse.csr_array(block.astype(np.float32, copy=False)))
    whole = sparse.csr_array(sparse.vstack(parts, format="csr"))
    parts.clear()
    return whole.tocsc()


def _ranks(expression: sparse.csc_array) -> sparse.csr_array:
    """Ranks within each gene above that of its zeros, as shares of all cells; overwrites."""
    cells, genes = expression.shape
    ends = expression.indptr
    for gene in range(genes):
        values = expression.data[ends[gene] : ends[gene + 1]]
        below = int((values < 0).sum())
        zeros = cells - len(values)
        ranks = rankdata(values)
        ranks[values > 0] += zeros
        expression.data[ends[gene] : ends[gene + 1]] = (ranks - below - (zeros + 1) / 2) / cells
    return expression.tocsr()


def _dense(ranks: sparse.csr_array) -> Iterator[NDArray[np.float32]]:
    cells, genes = ranks.shape
    step = max(1, _DENSE // genes)
    for start in range(0, cells, step):
        yield ranks[start : start + step].toarray()
