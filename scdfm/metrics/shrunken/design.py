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
    return Measured(conditions, average @ training.delta, average.multiply(average) @ known)


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
