"""Discrimination score: is a prediction closer to its own condition than to the others?

1 is best. By Manhattan or Euclidean distance, a prediction of no change scores 0.5 + 1 / (2 N) on
average over N conditions, because its distances rank the conditions by the strength of their
effect. By cosine distance it is undefined: no change has no direction.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from scdfm.metrics.metric import Metric
from scdfm.metrics.pseudobulk import ROUNDING, Array, Pseudobulks

Distance = Literal["l1", "l2", "cosine"]
SCIPY_NAMES: dict[Distance, Literal["cityblock", "euclidean", "cosine"]] = {
    "l1": "cityblock",
    "l2": "euclidean",
    "cosine": "cosine",
}


def discrimination_score_l1(units: Pseudobulks) -> Array:
    """Rank by Manhattan distance of deltas; see `discrimination_score`, (units,)."""
    return discrimination_score(units, distance="l1")


def discrimination_score_l2(units: Pseudobulks) -> Array:
    """Rank by Euclidean distance of deltas; see `discrimination_score`, (units,)."""
    return discrimination_score(units, distance="l2")


def discrimination_score_cosine(units: Pseudobulks) -> Array:
    """Rank by cosine distance of deltas; see `discrimination_score`, (units,)."""
    return discrimination_score(units, distance="cosine")


def discrimination_score_l1_absolute(units: Pseudobulks) -> Array:
    """Rank by Manhattan distance of the sizes of deltas; see `discrimination_score`, (units,)."""
    return discrimination_score(units, distance="l1", absolute=True)


def discrimination_score_l2_absolute(units: Pseudobulks) -> Array:
    """Rank by Euclidean distance of the sizes of deltas; see `discrimination_score`, (units,)."""
    return discrimination_score(units, distance="l2", absolute=True)


def discrimination_score_cosine_absolute(units: Pseudobulks) -> Array:
    """Rank by cosine distance of the sizes of deltas; see `discrimination_score`, (units,)."""
    return discrimination_score(units, distance="cosine", absolute=True)


def discrimination_score(
    units: Pseudobulks, *, distance: Distance, absolute: bool = False
) -> Array:
    """1 - rank / N of the true condition among the N real ones of its context, (units,).

    Ranks start from 0 at the real delta nearest to the predicted one. The gene named like the
    condition is left out. Equal distances share their mean rank: cell-eval leaves their order to
    an unstable sort. Undefined (NaN) where a context holds one unit only: there is nothing to
    tell apart, and cell-eval's 1.0 would look like a success.

    Undefined by cosine where the predicted or the real change is nothing but rounding.

    Args:
        units: Predicted and real means.
        distance: Between deltas.
        absolute: Of the sizes of changes, whichever way they go.

    Source: cell-eval 0.8.2 `discrimination_score`; 0.5.42, which the paper's tables were made
    with, has absolute deltas.
    """
    contexts, conditions = np.array(units.contexts), np.array(units.conditions)
    column = {gene: i for i, gene in enumerate(units.genes)}
    size = np.abs if absolute else np.asarray
    predicted = _Changes(size(units.predicted_delta), ROUNDING * units.scale)
    real = _Changes(size(units.real_delta), ROUNDING * units.real_scale)
    scores = np.full(len(contexts), np.nan)
    for context in np.unique(contexts):
        here = np.flatnonzero(contexts == context)
        if len(here) < 2:
            continue
        own = [column.get(condition) for condition in conditions[here]]
        apart = _distances(predicted.of(here), real.of(here), own=own, distance=distance)
        scores[here] = 1 - _ranks(apart) / len(here)
    return scores


class _Changes(NamedTuple):
    """Changes from control, and how large each must be to have a direction."""

    delta: Array  # (units, genes)
    least: Array  # (units,)

    def of(self, units: NDArray[np.intp]) -> "_Changes":
        return _Changes(self.delta[units], self.least[units])

    def without(self, gene: int) -> "_Changes":
        return _Changes(np.delete(self.delta, gene, axis=1), self.least)

    @property
    def directed(self) -> NDArray[np.bool_]:
        """Which have a direction, (units,)."""
        directed: NDArray[np.bool_] = np.linalg.norm(self.delta, axis=1) > self.least
        return directed


def _distances(
    predicted: _Changes, real: _Changes, *, own: list[int | None], distance: Distance
) -> Array:
    """Distance of each predicted delta to each real one, (units, units), own gene left out."""
    apart = _pairwise(predicted, real, distance=distance)
    if distance == "cosine":
        apart[~real.directed] = np.nan  # the true one has no direction
    for row, gene in enumerate(own):
        if gene is not None:
            one, others = predicted.of(np.array([row])).without(gene), real.without(gene)
            apart[row] = _pairwise(one, others, distance=distance)[0]
            if distance == "cosine" and not others.directed[row]:
                apart[row] = np.nan
    return apart


def _pairwise(left: _Changes, right: _Changes, *, distance: Distance) -> Array:
    apart = cdist(left.delta, right.delta, metric=SCIPY_NAMES[distance])
    if distance == "cosine":
        # What has no direction is as far from everything as a right angle, as in cell-eval;
        # a prediction without one is nowhere.
        apart[:, ~right.directed] = 1.0
        apart[~left.directed] = np.nan
    return apart


def _ranks(apart: Array) -> Array:
    """Rank from 0 of the diagonal within each row, ties shared; NaN where it is not finite."""
    true = np.diagonal(apart)[:, None]
    nearer = (apart < true).sum(axis=1)
    equal = (apart == true).sum(axis=1) - 1
    return np.where(np.isfinite(true[:, 0]), nearer + equal / 2, np.nan)


L1 = Metric(
    discrimination_score_l1,
    mode="max",
    says="Whether a prediction is nearer to its own condition than to others, by the sum of "
    "distances over genes (1 is best, no change scores about 0.5).",
)
L2 = Metric(
    discrimination_score_l2,
    mode="max",
    says="Whether a prediction is nearer to its own condition than to others, by Euclidean "
    "distance (1 is best, no change scores about 0.5).",
)
COSINE = Metric(
    discrimination_score_cosine,
    mode="max",
    no_skill=0.5,
    says="Whether a prediction points more in the direction of its own condition than of "
    "others (1 is best).",
)
L1_ABSOLUTE = Metric(
    discrimination_score_l1_absolute,
    mode="max",
    on_request=True,
    says="discrimination_score_l1 of the sizes of changes, without their signs, as the paper "
    "has it.",
)
L2_ABSOLUTE = Metric(
    discrimination_score_l2_absolute,
    mode="max",
    on_request=True,
    says="discrimination_score_l2 of the sizes of changes, without their signs, as the paper "
    "has it.",
)
COSINE_ABSOLUTE = Metric(
    discrimination_score_cosine_absolute,
    mode="max",
    on_request=True,
    says="discrimination_score_cosine of the sizes of changes, without their signs, as the "
    "paper has it.",
)
