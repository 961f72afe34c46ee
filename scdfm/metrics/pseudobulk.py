"""Metrics between pseudobulk means: a unit's expression averaged over its cells.

Expression is log1p(counts per 10k). A unit is a condition in a context; each function gives one
number per unit, in float64, and NaN where the metric is undefined.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ROUNDING = 1e-12  # a delta this small beside the means it comes from is no delta


@dataclass(frozen=True)
class Pseudobulks:
    """Predicted and real means of the same units, and the control mean of each unit's context.

    Attributes:
        contexts: Context of each unit.
        conditions: Canonical condition name of each unit.
        genes: Names of the evaluation genes.
        predicted: (units, genes); NaN rows where there is no prediction.
        real: (units, genes).
        control: (units, genes), of the control cells of the unit's own context.
    """

    contexts: tuple[str, ...]
    conditions: tuple[str, ...]
    genes: tuple[str, ...]
    predicted: Array
    real: Array
    control: Array

    def __post_init__(self) -> None:
        """Refuse arrays that are not about the same units and genes."""
        shape = (len(self.conditions), len(self.genes))
        if len(self.contexts) != len(self.conditions) or 0 in shape:
            raise ValueError(
                f"metrics need a context and a condition for each of at least 1 unit and 1 gene, "
                f"got {len(self.contexts)}, {len(self.conditions)} and {len(self.genes)} genes"
            )
        units = list(zip(self.contexts, self.conditions, strict=True))
        if len(set(units)) < len(units):
            raise ValueError("each (context, condition) must come once, got one twice; merge them")
        for name in ("predicted", "real", "control"):
            array = np.asarray(getattr(self, name), dtype=np.float64)
            if array.shape != shape:
                raise ValueError(f"{name} must be (units, genes) = {shape}, got {array.shape}")
            if name != "predicted" and not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite, got NaN or infinite means")
            object.__setattr__(self, name, array)


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


def pearson_delta(units: Pseudobulks) -> Array:
    """Pearson correlation over genes of predicted and real change from control, (units,).

    Undefined where either change is the same for every gene, as for a no-change prediction.

    Source: cell-eval 0.8.2 `pearson_delta`.
    """
    predicted = _centred_delta(units.predicted, control=units.control)
    real = _centred_delta(units.real, control=units.control)
    lengths = np.linalg.norm(predicted, axis=1) * np.linalg.norm(real, axis=1)
    correlation = np.full(len(lengths), np.nan)
    np.divide(np.sum(predicted * real, axis=1), lengths, out=correlation, where=lengths > 0)
    np.clip(correlation, -1.0, 1.0, out=correlation)
    return correlation


def _centred_delta(means: Array, *, control: Array) -> Array:
    """Change from control less its mean over genes, (units, genes); exactly 0 if only rounding."""
    delta = means - control
    delta -= delta.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(means, axis=1) + np.linalg.norm(control, axis=1)
    delta[np.linalg.norm(delta, axis=1) <= ROUNDING * scale] = 0.0
    return delta
