"""How far predicted means are from real ones; each gives one number per unit, in float64."""

import numpy as np

from scdfm.metrics.evidence import Evidence
from scdfm.metrics.metric import Metric
from scdfm.metrics.pseudobulk import Array, Pseudobulks


def mse(units: Pseudobulks) -> Array:
    """Mean over genes of the squared difference of predicted and real means, (units,).

    Source: cell-eval 0.8.2 `mse`; SCIENCE section 6.
    """
    squares: Array = np.square(units.predicted - units.real).mean(axis=1)
    return squares


def mse_corrected(units: Evidence) -> Array:
    """`mse` less what the noise of the real mean adds to it, (units,).

    That is the variance over real cells by their number, averaged over genes. So it estimates the
    error against a mean of endlessly many cells, and may be negative. Undefined for a single cell.
    """
    real = units.real_cells
    assert real is not None, "Metric.needs says so"
    noise: Array = real.variance.mean(axis=1, dtype=np.float64) / np.maximum(real.cells, 1)
    return mse(units) - noise


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
MSE_CORRECTED = Metric(
    mse_corrected,
    mode="min",
    needs=("real_cells",),
    says="The same less what the noise of the measured mean adds to it; it may be negative.",
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
