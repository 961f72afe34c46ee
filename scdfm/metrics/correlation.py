"""How similar predicted and real changes are, apart from their size."""

import numpy as np

from scdfm.metrics.metric import Metric
from scdfm.metrics.pseudobulk import Array, Pseudobulks, without_rounding


def pearson_delta(units: Pseudobulks) -> Array:
    """Pearson correlation over genes of predicted and real change from control, (units,).

    Undefined where either change is the same for every gene up to rounding, as for a no-change
    prediction.

    Source: cell-eval 0.8.2 `pearson_delta`.
    """
    predicted = _centred(units.predicted_delta, scale=units.scale)
    real = _centred(units.real_delta, scale=units.real_scale)
    lengths = np.linalg.norm(predicted, axis=1) * np.linalg.norm(real, axis=1)
    correlation = np.full(len(lengths), np.nan)
    np.divide(np.sum(predicted * real, axis=1), lengths, out=correlation, where=lengths > 0)
    np.clip(correlation, -1.0, 1.0, out=correlation)
    return correlation


def _centred(changes: Array, *, scale: Array) -> Array:
    """Changes less their mean over genes, (units, genes)."""
    return without_rounding(changes - changes.mean(axis=1, keepdims=True), scale=scale)


PEARSON_DELTA = Metric(pearson_delta, mode="max")
