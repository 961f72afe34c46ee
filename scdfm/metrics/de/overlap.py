"""Which genes change: the significant ones of a prediction against the real ones.

As in cell-eval, a condition scores 0 where a set that it is a share of is empty: where no real
gene changed, or none was predicted to. Only the recall is undefined then.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scdfm.metrics.evidence import CellFacts, Evidence
from scdfm.metrics.metric import Metric
from scdfm.metrics.pseudobulk import Array, own_genes

Genes = NDArray[np.intp]


def overlap_at(top: int | None) -> Callable[[Evidence], Array]:
    """Share of the strongest real genes that are among as many predicted ones.

    Args:
        top: How many of the significant genes, by absolute fold change; none: as many as are
            really significant. Fewer where there are fewer real ones.

    Source: cell-eval 0.8.2 `overlap_at_N`, `overlap_at_50`, ...; without a limit it is the
    differential expression score of the Virtual Cell Challenge 2025.
    """
    return lambda units: _shares(units, top=top, of="real")


def precision_at(top: int | None) -> Callable[[Evidence], Array]:
    """The same as a share of the strongest predicted genes.

    Source: cell-eval 0.8.2 `precision_at_N`, ...
    """
    return lambda units: _shares(units, top=top, of="predicted")


def recall(units: Evidence) -> Array:
    """Share of the really significant genes that are predicted to be, (units,).

    Source: cell-eval 0.8.2 `de_sig_genes_recall`.
    """
    real, predicted = units.significant
    with np.errstate(invalid="ignore"):
        shares: Array = (real & predicted).sum(axis=1) / real.sum(axis=1)
    return shares


def jaccard(units: Evidence) -> Array:
    """Significant genes on both sides as a share of those on either, (units,).

    The genes that the condition perturbs are left out. Two empty sets agree: 1.

    Source: cell-eval2 `de_wilcoxon_sig_jaccard`, here on log values and without a filter of
    genes of low expression.
    """
    real, predicted = (one & ~own_genes(units) for one in units.significant)
    either = (real | predicted).sum(axis=1)
    shares = (real & predicted).sum(axis=1) / np.maximum(either, 1)
    return np.where(either > 0, shares, 1.0)


def strongest(facts: CellFacts) -> Iterator[Genes]:
    """Significant genes of each unit, the largest absolute fold change first."""
    for significant, lfc in zip(facts.significant, facts.lfc, strict=True):
        genes = np.flatnonzero(significant)
        yield genes[np.argsort(-np.abs(lfc[genes]), kind="stable")]


def _shares(units: Evidence, *, top: int | None, of: Literal["real", "predicted"]) -> Array:
    real_cells, predicted_cells = units.both_cells
    shares = []
    for real, predicted in zip(strongest(real_cells), strongest(predicted_cells), strict=True):
        most = len(real if of == "real" else predicted)
        count = min(most, top or most)
        found = len(np.intersect1d(real[:count], predicted[:count]))
        shares.append(found / count if count else 0.0)
    return np.array(shares)


def _metric(of_units: Callable[[Evidence], Array], *, says: str) -> Metric:
    return Metric(of_units, mode="max", needs=("real_cells", "predicted_cells"), says=says)


OVERLAP_AT_N = _metric(
    overlap_at(None),
    says="Of the genes that really change, strongest first, the share among as many predicted "
    "ones.",
)
OVERLAP_AT_50 = _metric(
    overlap_at(50),
    says="Of the 50 genes that really change most, the share among the 50 predicted ones.",
)
OVERLAP_AT_100 = _metric(
    overlap_at(100),
    says="Of the 100 genes that really change most, the share among the 100 predicted ones.",
)
PRECISION_AT_N = _metric(
    precision_at(None),
    says="Of the genes that are predicted to change, strongest first, the share among as many "
    "real ones.",
)
RECALL = _metric(
    recall,
    says="Share of the genes that really change which are predicted to change.",
)
JACCARD = _metric(
    jaccard,
    says="Genes that change both really and as predicted, as a share of those that do either.",
)
