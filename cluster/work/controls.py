"""Control cells as a model reads them: log1p per 10k over the model's genes, by context.

A prediction starts from controls of a store, or of an AnnData in memory. Both have this interface,
so one sampler serves both.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data_store.store.reader import Store


class Controls(Protocol):
    """Where a prediction's control cells come from."""

    def rows(self, context: str) -> NDArray[np.int64]:
        """Number of each control cell of a context; it decides the cell's noise, (cells,)."""
        ...

    def expression(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Expression of control cells in any order, repeats too, (cells, model genes)."""
        ...

    def mean(self, context: str) -> NDArray[np.float64]:
        """Mean over all control cells of a context, (model genes,)."""
        ...


@dataclass(frozen=True)
class StoreControls:
    """The controls of a store; a cell's number is its row there.

    Attributes:
        store: Where they are.
        columns: Where the store keeps the model's genes, (model genes,).
    """

    store: Store
    columns: NDArray[np.int64]

    def rows(self, context: str) -> NDArray[np.int64]:
        """Rows of the store, (cells,)."""
        control = self.store.controls[context]
        return np.arange(control.start, control.stop)

    def expression(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read every row once, (cells, model genes)."""
        each, inverse = np.unique(rows, return_inverse=True)
        expression = self.store.expression_at(each, genes=self.columns)
        repeated: NDArray[np.float32] = expression[inverse]
        return repeated

    def mean(self, context: str) -> NDArray[np.float64]:
        """From the store's sums, (model genes,)."""
        control = self.store.controls[context]
        total: NDArray[np.float64] = self.store.moments.row(
            "total", self.store.units.index(control)
        )
        return total[self.columns] / len(control)
