"""Errors in which genes count as much as training conditions change them.

Source: Mejia et al. 2025, "Diversity by Design", with weights from training conditions: those of
a condition that nobody has measured are not known when a model is judged by them.
"""

import numpy as np

from scdfm.metrics.evidence import Evidence, Training
from scdfm.metrics.metric import Metric
from scdfm.metrics.pseudobulk import Array


def weighted_mse(units: Evidence) -> Array:
    """Weighted mean over genes of the squared difference of predicted and real means, (units,)."""
    return np.square(units.predicted - units.real) @ _known(units).weights


def weighted_r2_delta(units: Evidence) -> Array:
    """Weighted R2 of predicted changes from the centroid of the training conditions, (units,).

    1 is perfect; a prediction of the centroid itself is at or below 0. Undefined where the real
    change is the same for every gene.
    """
    training = _known(units)
    weights = training.weights
    real = units.real - training.mean
    spread = np.square(real - (real @ weights)[:, None]) @ weights
    with np.errstate(divide="ignore", invalid="ignore"):
        r2: Array = 1 - weighted_mse(units) / spread
    return r2


def _known(units: Evidence) -> Training:
    assert units.training is not None, "Metric.needs says so"
    return units.training


WEIGHTED_MSE = Metric(
    weighted_mse,
    mode="min",
    needs=("training",),
    says="mse in which the genes that conditions change count most.",
)
WEIGHTED_R2_DELTA = Metric(
    weighted_r2_delta,
    mode="max",
    needs=("training",),
    says="How much of the real changes is explained, in which the genes that conditions change "
    "count most (1 is best).",
)
