"""How sure a predicted mean is: half the width of an interval for each gene.

    width^2  =  z^2 (k^2 error of the model + noise of the cells)                one model
    width^2  =  z^2 k^2 error of the model + t^2 (1 + 1/N) spread of members     N members

z and t are quantiles of the normal and of Student's distribution with N - 1 degrees of freedom; a
sum of such squares covers at least its level (Banerjee 1960).

Error of the model: where a base is combined, its posterior variance by gene; otherwise the shape
of the variance between control cells, mean 1, so that k has the unit of expression. k is found on
validation units, by a base that was fitted without them: it is the least with which 90 % of the
means that were measured there (of a gene in a unit) lie within

    z sqrt(k^2 error of the model + noise of measuring),

so it holds of the truth, without that noise, as far as errors are normal and the noise is known.

Noise of the cells: of so many generated ones (Monte Carlo). Spread: the variance between the means
of members, noise of their cells included; the truth is taken for one more of them.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, PositiveFloat, PositiveInt
from scipy.stats import norm, t

Array = NDArray[np.float64]

LEVEL = 0.9  # at which k is found; the default of an interval
LEAST = 1e-6  # of a factor
_QUANTILES = 20  # over the genes of a unit, so that units count alike


class IntervalFactor(BaseModel, frozen=True, extra="forbid"):
    """What validation units say of the error of a model."""

    factor: PositiveFloat  # k
    units: PositiveInt  # validation units that it comes from
    guess: bool = False  # these units ask another question than test units do


class Unsure(NamedTuple):
    """Variances of a unit's mean, by where they come from, (genes,) each."""

    cells: Array  # by the choice of generated cells
    model: Array | None  # of the model's own error, before the factor; None: it is not known
    members: Array | None = None  # between the means of members; None: there is one


def half_width(unsure: Unsure, *, level: float, factor: float = 1.0, members: int = 1) -> Array:
    """How far an interval goes to each side of the mean, (genes,).

    Args:
        unsure: Variances.
        level: Share of cases in which the truth is inside, above 0 and below 1.
        factor: k, of the standard deviation of the model's error.
        members: N.
    """
    at = (1 + level) / 2
    square = np.zeros_like(unsure.cells)
    if unsure.model is not None:
        square += np.square(norm.ppf(at) * factor) * unsure.model
    if unsure.members is None:
        square += np.square(norm.ppf(at)) * unsure.cells
    else:
        square += np.square(t.ppf(at, members - 1)) * (1 + 1 / members) * unsure.members
    width: Array = np.sqrt(square)
    return width


def needed(error: Array, *, variance: Array, noise: Array) -> list[list[float]]:
    """Quantiles over genes of the least factor that each needs, (units, quantiles).

    A gene is within its interval where error^2 <= z^2 (k^2 variance + noise). Noise of measuring
    adds to what k multiplies and is no part of it: an error that it explains needs no factor.

    Args:
        error: Measured mean less the predicted one, (units, genes).
        variance: Of the model's error, before the factor, (units, genes).
        noise: Variance of the measured mean by the choice of cells, (units, genes).
    """
    known = np.isfinite(error).all(axis=1)
    beyond = np.square(error / norm.ppf((1 + LEVEL) / 2)) - noise
    factors = np.sqrt(np.maximum(beyond, 0) / np.maximum(variance, 1e-12))[known]
    at = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    found: list[list[float]] = np.quantile(factors, at, axis=1).T.tolist()
    return found


def factor_of(
    of_units: Iterable[Sequence[float]], *, has_unit: bool, guess: bool = False
) -> IntervalFactor | None:
    """The factor with which 90 % of all genes of all units lie within their intervals.

    Where variances have a unit it is at least 1: validation units are few, and that they happen to
    be easy is no reason to narrow what a model says of itself.

    Args:
        of_units: What `needed` found, of each unit.
        has_unit: Whether variances are such, and no mere shape.
        guess: Whether these units ask another question than test units do.

    Returns:
        The factor; None: no unit has a prediction.
    """
    every = [list(one) for one in of_units]
    if not every:
        return None
    count = len(every)
    factor = float(np.quantile(np.array(every), LEVEL))
    least = 1.0 if has_unit else LEAST
    return IntervalFactor(factor=max(factor, least), units=count, guess=guess)


def pooled(factors: Sequence[IntervalFactor], *, apart: bool) -> IntervalFactor | None:
    """One factor of several models: the root mean square, by units; None of none.

    Args:
        factors: Of each model.
        apart: Whether each was found on units of its own.
    """
    if not factors:
        return None
    units = np.array([one.units for one in factors])
    squares = np.square([one.factor for one in factors])
    return IntervalFactor(
        factor=float(np.sqrt((units * squares).sum() / units.sum())),
        units=int(units.sum() if apart else units.max()),
        guess=any(one.guess for one in factors),
    )
