"""Whether genes go the right way: of those that are called, and how far down the list.

The genes that a condition perturbs are left out. A gene has a real direction where its real fold
change is not exactly 0.

Source: cell-eval2 (`de_wilcoxon_direction_fidelity_yield_raw`, `..._direction_reach_raw`), here
on fold changes of arithmetic means of expm1(log values) and without a filter of genes of low
expression.
"""

import numpy as np
from numpy.typing import NDArray

from scdfm.metrics.evidence import Evidence
from scdfm.metrics.metric import Metric, Need
from scdfm.metrics.pseudobulk import Array, own_genes

PURITY = (9, 10)  # at most one call in ten may be wrong


def direction_fidelity(units: Evidence) -> Array:
    """K / max(n_pred, n_real), (units,): called genes that go the right way.

    Of n_pred genes that are predicted to be significant and have a real direction, k go the right
    way; n_real genes are really significant. Undefined where both are 0.
    """
    real, predicted = units.both_cells
    allowed = ~own_genes(units)
    called = predicted.significant & allowed & (real.lfc_arithmetic != 0)
    right = called & _same_way(units)
    most = np.maximum(called.sum(axis=1), (real.significant & allowed).sum(axis=1))
    with np.errstate(invalid="ignore"):
        shares: Array = right.sum(axis=1) / most
    return shares


def direction_reach(units: Evidence) -> Array:
    """How deep into its own ranking a prediction's directions stay right, (units,).

    The really significant genes in the order of the prediction's confidence: the share of them
    in the deepest prefix of which at least 9 in 10 go the right way. Undefined where there are
    none.
    """
    real, predicted = units.both_cells
    pool = real.significant & ~own_genes(units)
    right = _same_way(units)
    names = np.argsort(np.argsort(np.array(units.genes)))
    depths = []
    for row, some in enumerate(pool):
        genes = np.flatnonzero(some)
        confidence = (
            names[genes],
            -np.abs(predicted.lfc_arithmetic[row, genes]),
            predicted.p_value[row, genes],
            predicted.fdr[row, genes],
            ~predicted.significant[row, genes],
        )
        order = genes[np.lexsort(confidence)]
        order = order[real.lfc_arithmetic[row, order] != 0]
        depths.append(_deepest(right[row, order]))
    with np.errstate(invalid="ignore"):
        shares: Array = np.array(depths) / pool.sum(axis=1)
    return shares


def _deepest(right: NDArray[np.bool_]) -> int:
    """Length of the longest prefix that is pure enough."""
    depth = np.arange(1, len(right) + 1)
    share, of = PURITY
    pure = np.flatnonzero(of * np.cumsum(right) >= share * depth)
    return int(depth[pure[-1]]) if len(pure) else 0


def _same_way(units: Evidence) -> NDArray[np.bool_]:
    """Where both fold changes have one sign, which is not zero, (units, genes)."""
    real, predicted = units.both_cells
    same: NDArray[np.bool_] = real.lfc_arithmetic * predicted.lfc_arithmetic > 0
    return same


_BOTH: tuple[Need, ...] = ("real_cells", "predicted_cells")

DIRECTION_FIDELITY = Metric(
    direction_fidelity,
    mode="max",
    needs=_BOTH,
    says="Genes that are called changed and go the right way, as a share of all that are "
    "called or really change.",
)
DIRECTION_REACH = Metric(
    direction_reach,
    mode="max",
    needs=_BOTH,
    says="How far down a prediction's own list of surest genes at least 9 in 10 go the right way.",
)
