"""Which tokens a condition has, as a matrix; and units averaged to conditions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdfm.metrics.baselines.units import Array, MeasuredUnits
from scdfm.screen.conditions import Condition


class Measured(NamedTuple):
    """Training conditions, averaged over their contexts."""

    conditions: tuple[Condition, ...]
    delta: Array  # (conditions, genes)
    noise: Array  # variance of a delta by the choice of cells, averaged over genes, (conditions,)
    contexts: tuple[str, ...]  # sorted
    shares: sp.csr_matrix  # of each context in a condition's average, (conditions, contexts)
    of_controls: Array | None  # variance of each context's control mean, likewise, (contexts,)

    @property
    def own_noise(self) -> Array:
        """The noise without that of the controls, where it is known apart, (conditions,)."""
        if self.of_controls is None:
            return self.noise
        own: Array = self.noise - self.shares.multiply(self.shares) @ self.of_controls
        return np.maximum(own, 0)


def measured(training: MeasuredUnits) -> Measured:
    """Average changes and their noise over contexts: of k units, the noise is their mean / k.

    Where the noise of the units is not known, it is NaN.
    """
    conditions = tuple(sorted({*training.conditions}))
    place = {condition: row for row, condition in enumerate(conditions)}
    rows = np.array([place[condition] for condition in training.conditions])
    weight = 1 / np.bincount(rows)[rows]
    units = len(rows)
    average = sp.csr_matrix((weight, (rows, np.arange(units))), shape=(len(conditions), units))
    known = training.noise if training.noise is not None else np.full(units, np.nan)
    contexts = tuple(sorted({*training.contexts}))
    column = np.array([contexts.index(context) for context in training.contexts])
    inside = sp.csr_matrix((np.ones(units), (np.arange(units), column)))
    apart = training.control_noise
    return Measured(
        conditions,
        average @ training.delta,
        average.multiply(average) @ known,
        contexts,
        sp.csr_matrix(average @ inside),
        None if apart is None else np.bincount(column, weights=apart) / np.bincount(column),
    )


def design(conditions: Sequence[Condition], *, tokens: Sequence[str]) -> sp.csr_matrix:
    """1 where a condition has a token, (conditions, tokens); other tokens have no column."""
    column = {token: place for place, token in enumerate(tokens)}
    cells = [
        (row, column[token])
        for row, condition in enumerate(conditions)
        for token in {*condition}
        if token in column
    ]
    rows, columns = np.array(cells, dtype=np.int64).reshape(-1, 2).T
    shape = (len(conditions), len(tokens))
    return sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)


def several(conditions: Sequence[Condition]) -> NDArray[np.bool_]:
    """Whether a condition is a combination, (conditions,)."""
    return np.array([len({*condition}) > 1 for condition in conditions], dtype=bool)
