"""Discrimination score: is a prediction closer to its own condition than to the others?

1 is best. A prediction of no change scores 0.5 + 1 / (2 N) on average over N conditions, because
its distances rank the conditions by the strength of their effect.
"""

from typing import Literal

import numpy as np
from scipy.spatial.distance import cdist

from scdfm.metrics.pseudobulk import Array, Pseudobulks

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


def discrimination_score(units: Pseudobulks, *, distance: Distance) -> Array:
    """1 - rank / N of the true condition among the N real ones of its context, (units,).

    Ranks start from 0 at the real delta nearest to the predicted one. The gene named like the
    condition is left out. Equal distances share their mean rank: cell-eval leaves their order to
    an unstable sort. Undefined (NaN) where a context holds one unit only: there is nothing to
    tell apart, and cell-eval's 1.0 would look like a success.

    Source: cell-eval 0.8.2 `discrimination_score`.
    """
    predicted = units.predicted - units.control
    real = units.real - units.control
    contexts, conditions = np.array(units.contexts), np.array(units.conditions)
    column = {gene: i for i, gene in enumerate(units.genes)}
    scores = np.full(len(contexts), np.nan)
    for context in np.unique(contexts):
        here = np.flatnonzero(contexts == context)
        if len(here) < 2:
            continue
        own = [column.get(condition) for condition in conditions[here]]
        apart = _distances(predicted[here], real[here], own=own, distance=distance)
        scores[here] = 1 - _ranks(apart) / len(here)
    return scores


def _distances(
    predicted: Array, real: Array, *, own: list[int | None], distance: Distance
) -> Array:
    """Distance of each predicted delta to each real one, (units, units), own gene left out."""
    apart = _pairwise(predicted, real, distance=distance)
    for row, gene in enumerate(own):
        if gene is not None:
            left = np.delete(predicted[row : row + 1], gene, axis=1)
            apart[row] = _pairwise(left, np.delete(real, gene, axis=1), distance=distance)[0]
    return apart


def _pairwise(left: Array, right: Array, *, distance: Distance) -> Array:
    apart = cdist(left, right, metric=SCIPY_NAMES[distance])
    if distance == "cosine":
        # No change has no direction: as far from everything as a right angle, as in cell-eval.
        apart[~left.any(axis=1)] = 1.0
        apart[:, ~right.any(axis=1)] = 1.0
        apart[np.isnan(left).any(axis=1)] = np.nan
    return apart


def _ranks(apart: Array) -> Array:
    """Rank from 0 of the diagonal within each row, ties shared; NaN where a row is."""
    true = np.diagonal(apart)[:, None]
    nearer = (apart < true).sum(axis=1)
    equal = (apart == true).sum(axis=1) - 1
    return np.where(np.isnan(true[:, 0]), np.nan, nearer + equal / 2)
