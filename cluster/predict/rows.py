"""What is known of each cell of a prediction before any is computed: its obs."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from cluster.predict.request import Unit, Work
from cluster.work.sampler import starting_cells
from data_store.store.partner import CONDITION, CONTEXT, CONTROL
from data_store.store.reader import Store

SOURCE_CELL, REPLICATE, UNSEEN = "source_cell", "replicate", "unseen"


def obs_of(work: Work, store: Store) -> pd.DataFrame:
    """A row for each cell.

    Columns are the condition as the store writes it, the context, the control cell it started
    from and how often that was used before, whether it IS a control cell, and its tokens that no
    training cell had, with commas.
    """
    table = pd.concat([_rows(unit, work, store) for unit in work.units])
    # Categories of what occurs, and no others: scanpy stops at a group without cells.
    return table.astype({CONDITION: "category", CONTEXT: "category", UNSEEN: "category"})


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
    return pd.DataFrame(
        {
            CONDITION: unit.label,
            CONTEXT: unit.context,
            SOURCE_CELL: names[rows],
            REPLICATE: replicates,
            CONTROL: not unit.condition,
            UNSEEN: _listed(unit, work.provenance.unseen),
        },
        index=[f"{unit.context}|{unit.label}|{cell}" for cell in range(unit.cells)],
    )


def _listed(unit: Unit, unseen: Collection[str]) -> str:
    return ",".join(token for token in unit.condition if token in unseen)
