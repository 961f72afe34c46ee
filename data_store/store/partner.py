"""Real cells to compare with predicted ones: the same labels, genes and scale."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store.store.reader import Store
from data_store.store.schema import LIBRARY_SIZE, LOG
from data_store.store.units import Unit
from scdfm.screen.names import nearest

CONDITION, CONTEXT, CONTROL = "condition", "context", "control"  # columns of both files


class Partner:
    """Cells of a store in the form of a prediction.

    obs holds the store's label of the condition, the context and whether the cell is a control;
    then the source's columns, except those with these names.
    """

    scale = LOG

    def __init__(
        self, store: Store, units: Sequence[Unit], *, genes: Sequence[str] | None = None
    ) -> None:
        """Prepare some units.

        Args:
            store: Where the cells are.
            units: Which, in the store's order.
            genes: Which genes, in this order; None for all.

        Raises:
            ValueError: A gene that the store does not hold.
        """
        self._store, self._units = store, units
        self._columns = columns_of(store, genes) if genes is not None else None
        self.var = store.var if self._columns is None else store.var.iloc[self._columns]
        self._starts = np.array([unit.start for unit in units])
        self._labels = [store.words.spell(unit.tokens) for unit in units]

    def values(self, rows: NDArray[np.int64]) -> sp.csr_matrix:
        """log1p per 10k."""
        return sp.csr_matrix(self._store.expression_at(rows, genes=self._columns))

    def obs(self, rows: NDArray[np.int64]) -> pd.DataFrame:
        """What is known of each cell."""
        source = self._store.obs_at(rows).drop(columns=LIBRARY_SIZE)
        source = source.rename(columns=self._store.manifest.recipe.renamed)
        unit = np.searchsorted(self._starts, rows, side="right") - 1
        ours = pd.DataFrame(
            {
                CONDITION: _labelled(self._labels, unit),
                CONTEXT: _labelled([one.context for one in self._units], unit),
                CONTROL: np.array([one.is_control for one in self._units], dtype=bool)[unit],
            },
            index=source.index,
        )
        for name in source.columns.difference(ours.columns, sort=False):
            ours[name] = source[name].array
        return ours


def columns_of(store: Store, genes: Sequence[str]) -> NDArray[np.int64]:
    """Where a store keeps some genes, (genes,).

    Raises:
        ValueError: A gene that the store does not hold; names the nearest.
    """
    place = {gene: column for column, gene in enumerate(store.genes)}
    missing = [gene for gene in genes if gene not in place]
    if missing:
        raise ValueError(
            f"expected genes of the store {store.path}, got {len(missing)} of {len(genes)} that "
            f"it does not hold, first {missing[0]!r} ({nearest(missing[0], store.genes)}); name "
            "a model or prediction made from this store"
        )
    return np.array([place[gene] for gene in genes], dtype=np.int64)


def _labelled(names: Sequence[str], unit: NDArray[np.int64]) -> "pd.Categorical[str]":
    """The names of these units, with a category for each name that any unit has."""
    each = np.array(names, dtype=object)[unit]
    return pd.Categorical(each, categories=sorted(set(names)))
