"""How well predicted fold changes and p values agree with the real ones."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from scdfm.metrics.evidence import Evidence
from scdfm.metrics.metric import Metric, Need
from scdfm.metrics.pseudobulk import Array, own_genes

FEWEST_GENES = 10  # a ratio over fewer is noise
FLOOR = np.float32(1e-10)  # smaller FDRs are all alike


def spearman_sig(units: Evidence) -> Array:
    """Spearman correlation over conditions of the number of significant genes, in each context.

    Over the conditions with at least one really significant gene. Undefined where there are
    fewer than 2, or all numbers are equal.

    Source: cell-eval 0.8.2 `de_spearman_sig`, except that it gives 1.0 where no condition has a
    really significant gene, which would look like a success.
    """
    real, predicted = (one.sum(axis=1) for one in units.significant)
    contexts = np.array(units.contexts)
    known = np.isfinite(units.predicted).all(axis=1) & (units.both_cells[1].cells > 0)
    values = np.full(len(contexts), np.nan)
    for context in np.unique(contexts):
        here = contexts == context
        counted = here & known & (real > 0)
        values[here] = _spearman(real[counted], predicted[counted])
    return values


def spearman_lfc_sig(units: Evidence) -> Array:
    """Spearman correlation of fold changes over the really significant genes, (units,).

    Source: cell-eval 0.8.2 `de_spearman_lfc_sig`.
    """
    real, predicted = units.both_cells
    rows = zip(real.significant, real.lfc, predicted.lfc, strict=True)
    return np.array([_spearman(ours[genes], theirs[genes]) for genes, ours, theirs in rows])


def direction_match(units: Evidence) -> Array:
    """Share of the really significant genes that are predicted to go the same way, (units,).

    Source: cell-eval 0.8.2 `de_direction_match`.
    """
    real, predicted = units.both_cells
    same = np.sign(real.lfc) == np.sign(predicted.lfc)
    with np.errstate(invalid="ignore"):
        shares: Array = (same & real.significant).sum(axis=1) / real.significant.sum(axis=1)
    return shares


def lfc_nmae(units: Evidence) -> Array:
    """Mean absolute error of fold changes over that of predicting none, (units,).

    Over the really significant genes without those that the condition perturbs; undefined with
    fewer than 10. 0 is perfect, 1 is a prediction of no change.

    Source: cell-eval2 `de_wilcoxon_lfc_nmae`, here of arithmetic means of expm1(log values).
    """
    real, predicted = units.both_cells
    gate = real.significant & ~own_genes(units)
    change = np.where(gate, real.lfc_arithmetic, 0).astype(np.float64)
    guess = np.where(gate & np.isfinite(predicted.lfc_arithmetic), predicted.lfc_arithmetic, 0)
    size = np.abs(change).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        error: Array = np.abs(guess - change).sum(axis=1) / size
    return np.where(gate.sum(axis=1) >= FEWEST_GENES, error, np.nan)


def pr_auc(units: Evidence) -> Array:
    """Average precision of predicted FDRs as a classifier of significant genes, (units,).

    Undefined where no gene or every gene is really significant.

    Source: cell-eval 0.8.2 `pr_auc`.
    """
    real, predicted = units.both_cells
    scores = -np.log10(np.clip(np.nan_to_num(predicted.fdr, nan=1), FLOOR, 1))
    pairs = zip(real.significant, scores, strict=True)
    return np.array([_average_precision(true, score) for true, score in pairs])


def pr_auc_pooled(units: Evidence) -> Array:
    """Area below the precision-recall curve of all genes of all conditions of a context together.

    Source: cell-eval 0.5.42 `pr_auc`, which the paper's tables show.
    """
    real, predicted = units.both_cells
    scores = -np.log10(np.where(predicted.fdr == 0, FLOOR, predicted.fdr))
    contexts, known = np.array(units.contexts), predicted.cells > 0
    values = np.full(len(contexts), np.nan)
    for context in np.unique(contexts):
        here = contexts == context
        some = here & known
        values[here] = _trapezoid_area(real.significant[some].ravel(), scores[some].ravel())
    return values


def _spearman(left: NDArray[np.generic], right: NDArray[np.generic]) -> float:
    """Pearson correlation of ranks; NaN for fewer than 2 values or where all are equal."""
    if len(left) < 2 or len(np.unique(left)) < 2 or len(np.unique(right)) < 2:
        return float("nan")
    return float(np.corrcoef(rankdata(left), rankdata(right))[0, 1])


def _curve(true: NDArray[np.bool_], scores: NDArray[np.floating]) -> tuple[Array, Array] | None:
    """Precision and recall at each distinct score from the highest on; None where undefined."""
    total = np.count_nonzero(true)
    if total in (0, len(true)):
        return None
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(true) - 1)
    hits = np.cumsum(true[order])[last]
    return hits / (last + 1), hits / total


def _average_precision(true: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    curve = _curve(true, scores)
    if curve is None:
        return float("nan")
    precision, recall = curve
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def _trapezoid_area(true: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    curve = _curve(true, scores)
    if curve is None:
        return float("nan")
    # The curve begins at recall 0 with precision 1, by convention.
    precision, recall = curve
    return float(np.trapezoid(np.append(1, precision), np.append(0, recall)))


_BOTH: tuple[Need, ...] = ("real_cells", "predicted_cells")

SPEARMAN_SIG = Metric(
    spearman_sig,
    mode="max",
    needs=_BOTH,
    pooled=True,
    says="Whether conditions that change many genes are predicted to change many (rank "
    "correlation over conditions).",
)
SPEARMAN_LFC_SIG = Metric(
    spearman_lfc_sig,
    mode="max",
    needs=_BOTH,
    says="Whether fold changes have the right order among the genes that really change (rank "
    "correlation).",
)
DIRECTION_MATCH = Metric(
    direction_match,
    mode="max",
    needs=_BOTH,
    says="Share of the genes that really change which are predicted to go the same way, up or "
    "down.",
)
LFC_NMAE = Metric(
    lfc_nmae,
    mode="min",
    needs=_BOTH,
    says="Error of fold changes as a share of that of no change, over the genes that really "
    "change (0 is perfect, 1 is no change).",
)
PR_AUC = Metric(
    pr_auc,
    mode="max",
    needs=_BOTH,
    says="How well the certainty of predicted changes tells genes that really change from "
    "others (area below the precision-recall curve; 1 is best).",
)
PR_AUC_POOLED = Metric(
    pr_auc_pooled,
    mode="max",
    needs=_BOTH,
    pooled=True,
    on_request=True,
    says="pr_auc with the genes of all conditions in one list, as the paper has it.",
)
