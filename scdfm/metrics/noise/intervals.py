"""Intervals of scores by bootstrap over conditions and cells.

A score is a mean over conditions of a mean over their units. Its interval is where 95 % of the
means of drawn conditions lie, wider for few conditions as Student's t is wider than a normal
distribution (Hesterberg 2015, "What teachers should know about the bootstrap", section 5.3).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.stats import norm, t

from scdfm.metrics.noise.draws import fixed_enough
from scdfm.metrics.pseudobulk import Array
from scdfm.screen.randomness import numpy_generator

LEVEL = 0.95
DRAWS = 4_000  # of conditions
SAME = 1e-9  # apart, as a share of their size: ends that only rounding tells apart


class Interval(NamedTuple):
    """Between which values a score lies, with 95 % confidence."""

    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        """Whether a difference is within noise."""
        return self.low <= 0 <= self.high


def interval(values: Array, conditions: Sequence[str], *, drawn: Array | None) -> Interval | None:
    """The interval of a mean over conditions; None where nothing is known of its noise.

    Nothing is known, either, where the draws all but never move the mean, as of a score by ranks in
    few conditions: an interval of one value would look like certainty.

    The draws of conditions depend on their number alone, so that rows are compared on the same.

    Args:
        values: Of each unit, (units,); NaN where undefined.
        conditions: Of each unit.
        drawn: The same on drawn cells, (draws, units); None: cells are not drawn.
    """
    score = by_condition(values[None], conditions)[0]
    defined = np.isfinite(score)
    count = int(defined.sum())
    around = None if drawn is None else _noise(by_condition(drawn, conditions))[:, defined]
    score = score[defined]
    if not count or (fixed_enough(count) and around is None):
        return None
    if fixed_enough(count):
        assert around is not None
        means = score.mean() + around.mean(axis=1)
        return _between(means, share=(1 - LEVEL) / 2, mean=float(score.mean()))
    means = _weights(count) @ score
    if around is not None:
        means += np.resize(_shared(around), DRAWS)
    wider = t.ppf((1 + LEVEL) / 2, count - 1) * np.sqrt(count / (count - 1))
    return _between(means, share=float(norm.cdf(-wider)), mean=float(score.mean()))


@lru_cache(maxsize=8)
def _weights(count: int) -> Array:
    """How much each of so many conditions counts in each draw of as many, (draws, conditions)."""
    generator = numpy_generator(0, "conditions", count)
    times: Array = generator.multinomial(count, np.full(count, 1 / count), size=DRAWS) / count
    return times


def by_condition(values: Array, conditions: Sequence[str]) -> Array:
    """Means over the defined units of each condition, in name order, (draws, conditions).

    Args:
        values: (draws, units).
        conditions: Of each unit.
    """
    names = np.array(conditions)
    columns = [values[:, names == one] for one in np.unique(names)]
    means = np.full((len(values), len(columns)), np.nan)
    for place, column in enumerate(columns):
        known = np.isfinite(column)
        np.divide(
            np.where(known, column, 0).sum(axis=1),
            known.sum(axis=1),
            out=means[:, place],
            where=known.any(axis=1),
        )
    return means


def _noise(drawn: Array) -> Array:
    """What drawing cells adds, less its mean, by which squares grow, (draws, conditions)."""
    known = np.isfinite(drawn)
    mean = np.where(known, drawn, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, drawn - mean, 0.0)


def _shared(noise: Array) -> Array:
    """What drawn cells do to the mean over conditions, beyond what each does to its own, (draws,).

    What the conditions do not share is in their spread already.

    Args:
        noise: (draws, conditions).
    """
    mean, count = noise.mean(axis=1), noise.shape[1]
    own = noise.var(axis=0).mean() / count
    both = mean.var()
    share = max(0.0, (both - own) / both * count / (count - 1)) if both > 0 else 0.0
    shared: Array = mean * np.sqrt(min(1.0, share))
    return shared


def _between(means: Array, *, share: float, mean: float) -> Interval | None:
    """Where most of the drawn means lie; None where they lie at one value.

    The mean itself is inside: of a score in steps, most draws can lie on one side of it.
    """
    low, high = map(float, np.quantile(means, (share, 1 - share)))
    if high - low <= SAME * max(abs(low), abs(high)):
        return None
    return Interval(min(low, mean), max(high, mean))
