"""Means of a prediction: a row for each condition and context, a column for each gene."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from cluster.predict.request import SHARD, Work
from cluster.work.controls import StoreControls
from cluster.work.means import control_means, predicted_mean
from cluster.work.sampler import Generated, columns_in, starting_cells
from data_store.prediction import Values, opened_values
from data_store.store.partner import CONDITION, CONTEXT
from data_store.store.reader import Store
from scdfm.flow.checkpoint import read_card
from scdfm.method import METHODS, settings_of
from scdfm.screen.atomic import replaced, write_text

CELLS = "cells"  # column of the number of cells that a mean is of


def require_table(file: Path) -> None:
    """Refuse a name of a summary that says no known format.

    Raises:
        ValueError: It does.
    """
    if file.suffix not in (".csv", ".parquet"):
        raise ValueError(f"expected --summary to end in .csv or .parquet, got {file.name!r}")


def write_summary(file: Path, work: Work, store: Store) -> None:
    """Write the means of a complete prediction, as `evaluate --predictions` reads them.

    Args:
        file: .csv or .parquet; replaced if it is there.
        work: What was predicted, at `work.request.out`.
        store: With the controls that it started from.
    """
    table = summary_of(work, store)
    if file.suffix == ".csv":
        write_text(file, table.to_csv(index=False))
        return
    with replaced(file) as draft:
        table.to_parquet(draft, index=False)


def summary_of(work: Work, store: Store) -> pd.DataFrame:
    """Condition, context, number of cells, then the mean of each gene; log1p per 10k.

    Means are corrected by the starting cells, as `evaluate` corrects them: for a few cells they
    are nearer to the mean of many than the plain average of the cells in the file.
    """
    card = read_card(work.request.model)
    controls = StoreControls(store, columns_in(store, card))
    units = [unit for unit in work.units if unit.condition]  # controls come last
    control = control_means(
        store, [unit.context for unit in units], columns=controls.columns[work.genes]
    )
    clamp = METHODS[card.method].clamps(settings_of(card))
    # The mean was set on these, which come first.
    canonical = card.sampling.mean.cells if card.mean and card.seed == work.request.seed else None
    first, means = 0, []
    with opened_values(work.request.out) as values:
        for number, unit in enumerate(units):
            batches = _batches(
                work, number, controls=controls, values=values, first=first, most=canonical
            )
            means.append(predicted_mean(batches, control=control[number], clamp=clamp).mean)
            first += unit.cells
    table = pd.DataFrame(np.stack(means), columns=[card.genes[gene] for gene in work.genes])
    table.insert(0, CONDITION, [unit.label for unit in units])
    table.insert(1, CONTEXT, [unit.context for unit in units])
    table.insert(2, CELLS, [unit.cells for unit in units])
    return table


def _batches(
    work: Work,
    number: int,
    *,
    controls: StoreControls,
    values: Values,
    first: int,
    most: int | None,
) -> Iterator[Generated]:
    """The cells of a unit, or `most` of them, beside those that they started from."""
    unit = work.units[number]
    rows = controls.rows(unit.context)
    count = unit.cells if most is None else min(unit.cells, most, len(rows))
    start = starting_cells(
        rows,
        condition=unit.condition,
        cells=unit.cells,
        seed=work.request.seed,
        context=unit.context,
    )
    for begin in range(0, count, SHARD):
        end = min(begin + SHARD, count)
        began = controls.expression(start.rows[begin:end])[:, work.genes]
        yield Generated(cells=values(first + begin, first + end), start=began)
