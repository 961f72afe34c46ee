"""How one group of cells differs from controls, gene by gene."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from scdfm.metrics.de.mann_whitney import RankedControls, sort_values
from scdfm.metrics.pseudobulk import Array
from scdfm.metrics.units import Cells, mean_of

Small = NDArray[np.float32]

EPSILON = 1e-9  # added to arithmetic means, as cell-eval2 does


@dataclass(frozen=True)
class Moments:
    """Means and variances over cells, (genes,)."""

    cells: int
    mean: Array
    variance: Array  # NaN for a single cell
    natural: Array  # mean of expm1(x): counts per 10k

    @classmethod
    def of(cls, cells: Cells) -> "Moments":
        """Of some cells, (cells, genes)."""
        count, mean = cells.shape[0], mean_of(cells)
        squares: Array
        if isinstance(cells, np.ndarray):
            natural: Array = np.expm1(cells).mean(axis=0, dtype=np.float64)
            squares = np.square(cells - mean).sum(axis=0)
        else:
            natural = mean_of(cells.expm1())
            # Entries that are not stored are zeros, whose distance to the mean counts, too.
            total = mean_of(cells.astype(np.float64).power(2)) * count
            squares = np.maximum(total - count * np.square(mean), 0)
        variance = squares / (count - 1) if count > 1 else np.full_like(mean, np.nan)
        return cls(count, mean, variance, natural)


@dataclass(frozen=True)
class Reference:
    """Controls of a context: their moments and their ranks."""

    moments: Moments
    ranked: RankedControls

    @classmethod
    def of(cls, cells: Cells) -> "Reference":
        """Of the control cells, (cells, genes)."""
        return cls(Moments.of(cells), RankedControls.of(cells))


@dataclass(frozen=True)
class Differential:
    """The comparison of a group of cells with controls, (genes,) each; as narrow as it is kept."""

    cells: int
    mean: Array
    variance: Small
    controls: int
    control_variance: Array  # one array for all groups
    p_value: Array
    fdr: Small
    lfc: Small  # may be infinite where a gene is seen on one side only
    lfc_arithmetic: Small


def differential(cells: Cells, reference: Reference) -> Differential:
    """Compare cells, (cells, genes), with controls.

    Source: pdex 0.3.0 as cell-eval 0.8.2 calls it: geometric means, no pseudocount, a gene that
    neither side has did not change.
    """
    group, control = Moments.of(cells), reference.moments
    p_value = reference.ranked.test(sort_values(cells)).p_value
    with np.errstate(divide="ignore", invalid="ignore"):
        lfc = np.log2(np.expm1(group.mean) / np.expm1(control.mean))
    arithmetic = np.log2(_seen(group.natural) / _seen(control.natural))
    return Differential(
        cells=group.cells,
        mean=group.mean,
        variance=group.variance.astype(np.float32),
        controls=control.cells,
        control_variance=control.variance,
        p_value=p_value,
        fdr=false_discovery_control(p_value).astype(np.float32),
        lfc=np.where(np.isnan(lfc), 0, lfc).astype(np.float32),
        lfc_arithmetic=arithmetic.astype(np.float32),
    )


def _seen(natural: Array) -> Array:
    """Arithmetic means as they are divided; generated cells may lie below zero."""
    return np.maximum(natural, 0) + EPSILON
