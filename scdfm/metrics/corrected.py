"""Scores in which chance earns nothing: sampling noise is taken out, no skill has one value.

Changes are measured from the real controls on both sides; genes that conditions perturb are left
out.

Source: cell-eval2 (`pds_cosine`, `expr_mse_unbiased_capped_norm`), here on means of log values
instead of summed counts.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from scdfm.metrics.evidence import Evidence
from scdfm.metrics.metric import Metric
from scdfm.metrics.pseudobulk import Array, Pseudobulks, own_genes, without_rounding


def pds_cosine(units: Pseudobulks) -> Array:
    """1 - k / (n - 1), where k of a context's n conditions are nearer than the true one, (units,).

    By cosine distance of changes. Equally near ones count half, and what does not change is as
    far from everything as a right angle. So 1 is best, and a prediction that says nothing of its
    condition has 0.5. Undefined in a context of one unit.
    """
    contexts, own = np.array(units.contexts), own_genes(units)
    scale = np.linalg.norm(units.predicted, axis=1) + np.linalg.norm(units.control, axis=1)
    predicted = without_rounding(units.predicted - units.control, scale=scale)
    real = without_rounding(units.real_delta, scale=units.real_scale)
    values = np.full(len(contexts), np.nan)
    for context in np.unique(contexts):
        here = contexts == context
        genes = ~own[here].any(axis=0)
        if here.sum() > 1 and genes.any():
            values[here] = _midrank_score(predicted[here][:, genes], real[here][:, genes])
    return values


def mse_ratio(units: Evidence) -> Array:
    """Squared error of the means of a context over that of no change, noise taken out of both.

    The sampling variances of the means are subtracted from each squared distance, that of the
    prediction at most as far as that of the real cells. 0 is perfect, 1 is no change. Undefined
    where the real changes are within their noise.
    """
    assert units.real_cells is not None, "Metric.needs says so"
    real, predicted = units.real_cells, units.predicted_cells
    genes, contexts = ~own_genes(units), np.array(units.contexts)

    def noise(variance: NDArray[np.float32], cells: NDArray[np.int64]) -> Array:
        known = np.where(genes, np.nan_to_num(variance), 0)
        total: Array = known.sum(axis=1, dtype=np.float64) / np.maximum(cells, 1)
        return total

    ours = noise(real.variance, real.cells)
    theirs = np.zeros_like(ours)
    if predicted is not None:
        theirs = np.minimum(ours, noise(predicted.variance, predicted.cells))
    if units.predicted_noise is not None:
        given = np.where(genes, units.predicted_noise, 0).sum(axis=1)
        theirs = np.where(np.isfinite(given), np.minimum(ours, given), theirs)
    start = noise(real.control_variance, real.controls)
    error = np.where(genes, np.square(units.predicted - units.real), 0).sum(axis=1) - theirs - ours
    effect = np.where(genes, np.square(units.real_delta), 0).sum(axis=1) - ours - start
    values = np.full(len(contexts), np.nan)
    for context in np.unique(contexts):
        here = contexts == context
        known = here & np.isfinite(error)
        shared = genes.sum(axis=1)[known]
        total = float(np.sum(effect[known] / shared))
        if total > 0:
            values[here] = float(np.sum(error[known] / shared)) / total
    return values


def _midrank_score(predicted: Array, real: Array) -> Array:
    apart = cdist(predicted, real, metric="cosine")
    # What does not change has no direction.
    apart[~predicted.any(axis=1)] = 1.0
    apart[:, ~real.any(axis=1)] = 1.0
    true = np.diagonal(apart)[:, None]
    nearer = (apart < true).sum(axis=1) + ((apart == true).sum(axis=1) - 1) / 2
    known = np.isfinite(predicted).all(axis=1)
    return np.where(known, 1 - nearer / (len(real) - 1), np.nan)


PDS_COSINE = Metric(
    pds_cosine,
    mode="max",
    says="Share of the other conditions that a prediction is farther from than from its own, "
    "by direction of change (1 is best, 0.5 is chance).",
)
MSE_RATIO = Metric(
    mse_ratio,
    mode="min",
    needs=("real_cells",),
    pooled=True,
    says="Squared error as a share of that of no change, with the noise of few cells taken out "
    "of both (0 is perfect, 1 is no change).",
)
