"""Which tokens a condition has, as a matrix; and units averaged to conditions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdfm.metrics.baselines.units import Array, MeasuredUnits
from scdfm.screen.conditions import Condition


class Own(NamedTuple):
    """Where a condition changes a gene that is one of its own tokens: places of its delta."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


class Measured(NamedTuple):
    """Training conditions, averaged over their contexts."""

    conditions: tuple[Condition, ...]
    delta: Array  # (conditions, genes)
    noise: Array  # variance of a delta by the choice of cells, averaged over genes, (conditions,)
    contexts: tuple[str, ...]  # sorted
    shares: sp.csr_matrix  # of each context in a condition's average, (conditions, contexts)
    of_controls: Array | None  # variance of each context's control mean, likewise, (contexts,)
    own: Own  # perturbed genes; none where they do not count apart

    def elsewhere(self, rows: NDArray[np.int64]) -> Array:
        """Changes of some conditions, 0 at genes that they perturb, (rows, genes)."""
        return without(self.delta[rows], self.own, rows=rows)

    @property
    def own_noise(self) -> Array:
        """The noise without that of the controls, where it is known apart, (conditions,)."""
        if self.of_controls is None:
            return self.noise
        own: Array = self.noise - self.shares.multiply(self.shares) @ self.of_controls
        return np.maximum(own, 0)


def measured(training: MeasuredUnits, *, apart: bool = False) -> Measured:
    """Average changes and their noise over contexts: of k units, the noise is their mean / k.

    Where the noise of the units is not known, it is NaN.

    Args:
        training: Units.
        apart: Whether genes that a condition perturbs count apart.
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
    of_controls = training.control_noise
    return Measured(
        conditions,
        average @ training.delta,
        average.multiply(average) @ known,
        contexts,
        sp.csr_matrix(average @ inside),
        None
        if of_controls is None
        else np.bincount(column, weights=of_controls) / np.bincount(column),
        own_genes(conditions, genes=training.genes if apart else ()),
    )


def own_genes(conditions: Sequence[Condition], *, genes: Sequence[str]) -> Own:
    """Where conditions change their own tokens; those that are no gene have no place."""
    place = {gene: column for column, gene in enumerate(genes)}
    found = [
        (row, place[token])
        for row, condition in enumerate(conditions)
        for token in sorted({*condition})
        if token in place
    ]
    return Own(*np.array(found, dtype=np.int64).reshape(-1, 2).T)


def without(values: Array, own: Own, *, rows: NDArray[np.int64]) -> Array:
    """Set the values of some conditions (rows, genes) to 0 at genes that they perturb, in place."""
    for row, one in enumerate(rows.tolist()):
        first, last = np.searchsorted(own.rows, (one, one + 1))
        values[row, own.columns[first:last]] = 0
    return values


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
