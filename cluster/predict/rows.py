"""The obs of a prediction: what is known about each cell before any is computed."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cluster.predict.request import Unit, Work
from cluster.work.sampler import starting_cells
from data_store.store.partner import CONDITION, CONTEXT, CONTROL
from data_store.store.reader import Store

SOURCE_CELL, REPLICATE, UNSEEN = "source_cell", "replicate", "unseen"
DISTANCE = "distance"


def obs_of(work: Work, store: Store) -> pd.DataFrame:
    """A row for each cell.

    Columns are the condition as the store writes it, the context, the control cell it started
    from and how often that was used before, whether it IS a control cell, its tokens that no
    training cell had, with commas, and its distance from the training conditions.
    """
    return joined([_rows(unit, work, store) for unit in work.units])


def _rows(unit: Unit, work: Work, store: Store) -> pd.DataFrame:
    control = store.controls[unit.context]
    names = np.asarray(store.obs(control.start, control.stop).index)
    rows, replicates = np.arange(unit.cells), np.zeros(unit.cells, dtype=np.int64)
    if unit.condition:
        start = starting_cells(
            np.arange(len(control)),
            condition=unit.condition,
            cells=unit.cells,
            seed=work.request.seed,
        )
        rows, replicates = start.rows, start.replicates
    return rows_of(unit, sources=names[rows], replicates=replicates, unseen=work.provenance.unseen)


def rows_of(
    unit: Unit,
    *,
    sources: NDArray[np.object_],
    replicates: NDArray[np.int64],
    unseen: Collection[str],
) -> pd.DataFrame:
    """A row for each cell of a unit.

    Args:
        unit: Context, condition and its label.
        sources: Name of the control cell that each started from, (cells,).
        replicates: How often that was used before, (cells,).
        unseen: Tokens that no training cell had.
    """
    return pd.DataFrame(
        {
            CONDITION: unit.label,
            CONTEXT: unit.context,
            SOURCE_CELL: sources,
            REPLICATE: replicates,
            CONTROL: not unit.condition,
            UNSEEN: ",".join(token for token in unit.condition if token in unseen),
            DISTANCE: unit.distance.steps,
        },
        index=[f"{unit.context}|{unit.label}|{cell}" for cell in range(unit.cells)],
    )


def joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all units.

    Each category occurs in the rows, because scanpy stops at a group without cells.
    """
    table = pd.concat(list(tables))
    return table.astype({CONDITION: "category", CONTEXT: "category", UNSEEN: "category"})
