"""The gene graph as the release builds it, to replace a mask that was not kept.

It differs from `scdfm.gene_graph.pearson_graph` in three ways: the logarithm is taken a second
time; the k nearest are those of largest |r|, of either sign; and where signs count, a negative edge
needs both genes to choose each other, because the release takes the larger of r and the other
side's 0.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from scdfm.gene_graph.graph import GeneGraph
from scdfm.model.release.weights import mask_graph


def release_graph(
    blocks: Iterable[NDArray[np.floating]], *, genes: int, k: int, negative: bool
) -> GeneGraph:
    """Join each gene with the k genes of largest |Pearson| correlation, as the release does.

    Genes without variance, and pairs without correlation, are not joined. Takes about 40 genes^2
    bytes. Where correlations are equal the gene that comes first is nearer; in the release that
    is left to chance.

    Args:
        blocks: log1p expression of training cells, each (cells, genes); logged once more here.
        genes: Genes of every block.
        k: Nearest genes of a gene, itself not counted.
        negative: Treat negative correlations like positive ones (`use_negative_edge`).

    Raises:
        ValueError: There are fewer than 2 cells.
    """
    r = _correlation(blocks, genes=genes)
    chosen = _nearest(np.abs(r), k=k)
    either, both = chosen | chosen.T, chosen & chosen.T
    joined = either if negative else np.where(r > 0, either, both)
    np.fill_diagonal(joined, True)
    return mask_graph(~joined)


def _correlation(blocks: Iterable[NDArray[np.floating]], *, genes: int) -> NDArray[np.float64]:
    """Pearson correlation of log1p of the blocks, (genes, genes); 0 without variance."""
    cells, shift = 0, np.zeros(genes)
    sums, products = np.zeros(genes), np.zeros((genes, genes))
    lowest, highest = np.full(genes, np.inf), np.full(genes, -np.inf)
    for block in blocks:
        logged = np.log1p(block.clip(min=0), dtype=np.float64)
        lowest = np.minimum(lowest, logged.min(axis=0, initial=np.inf))
        highest = np.maximum(highest, logged.max(axis=0, initial=-np.inf))
        # Around the first block's means, or large means would swamp the covariances.
        if not cells and len(logged):
            shift = logged.mean(axis=0)
        logged -= shift
        cells += len(logged)
        sums += logged.sum(axis=0)
        products += logged.T @ logged
    if cells < 2:
        raise ValueError(
            f"the release's gene graph needs at least 2 training cells, got {cells}; use a split "
            "with more training cells or give its mask"
        )
    products -= np.outer(sums, sums) / cells
    deviation = np.sqrt(products.diagonal().clip(min=0))
    # Rounding leaves a constant gene a tiny variance; its range says the truth.
    inverse = np.where(lowest < highest, 1 / np.where(deviation > 0, deviation, np.inf), 0.0)
    products *= inverse
    products *= inverse[:, None]
    return products


def _nearest(closeness: NDArray[np.float64], *, k: int) -> NDArray[np.bool_]:
    """The genes that each gene chooses: the k largest in its row above 0, bool (genes, genes)."""
    np.fill_diagonal(closeness, 0.0)
    chosen = np.zeros(closeness.shape, dtype=bool)
    for row, values in enumerate(closeness):
        order = np.argsort(-values, kind="stable")[:k]
        chosen[row, order[values[order] > 0]] = True
    return chosen
