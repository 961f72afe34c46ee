"""How far predicted means are from real ones; each gives one number per unit, in float64."""

import numpy as np

from scdfm.metrics.metric import Metric
from scdfm.metrics.pseudobulk import Array, Pseudobulks


def mse(units: Pseudobulks) -> Array:
    """Mean over genes of the squared difference of predicted and real means, (units,).

    Source: cell-eval 0.8.2 `mse`; SCIENCE section 6.
    """
    squares: Array = np.square(units.predicted - units.real).mean(axis=1)
    return squares


def mae(units: Pseudobulks) -> Array:
    """Mean over genes of the absolute difference of predicted and real means, (units,).

    Source: cell-eval 0.8.2 `mae`.
    """
    differences: Array = np.abs(units.predicted - units.real).mean(axis=1)
    return differences


def l2(units: Pseudobulks) -> Array:
    """Euclidean distance of predicted and real means over genes, (units,).

    Source: scDFM (Yu et al. 2026), table 1, at pseudobulk level as its numbers are.
    """
    distances: Array = np.linalg.norm(units.predicted - units.real, axis=1)
    return distances


MSE = Metric(
    mse,
    mode="min",
    says="Squared distance between the predicted and the real mean of a gene, averaged over genes.",
)
MAE = Metric(
    mae,
    mode="min",
    says="Distance between the predicted and the real mean of a gene, averaged over genes.",
)
L2 = Metric(
    l2,
    mode="min",
    says="Distance between the predicted and the real means of all genes together (Euclidean).",
)
