"""The table of a written prediction: made from its cells, kept with them, and given as a file."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cluster.predict.intervals import INTERVALS, Intervals, intervals_of, trust_of
from cluster.predict.request import SHARD, Work
from cluster.work.controls import StoreControls
from cluster.work.sampler import Generated, columns_in, starting_cells
from data_store.prediction import PredictionDirectory, opened_values, read_beside
from data_store.store.reader import Store
from scdfm.flow.checkpoint import read_card
from scdfm.screen.atomic import replaced, write_text


def require_table(file: Path) -> None:
    """Refuse a name of a summary that says no known format.

    Raises:
        ValueError: It does.
    """
    if file.suffix not in (".csv", ".parquet"):
        raise ValueError(f"expected --summary to end in .csv or .parquet, got {file.name!r}")


def write_summary(file: Path, work: Work) -> None:
    """Write the table of a complete prediction, as `evaluate --predictions` reads it.

    Args:
        file: .csv or .parquet; replaced if it is there.
        work: What was predicted, at `work.request.out`.
    """
    card = read_card(work.request.model)
    kept = read_beside(work.request.out, INTERVALS)
    table = Intervals.read(kept, genes=[card.genes[gene] for gene in work.genes]).wide
    if file.suffix == ".csv":
        write_text(file, table.to_csv(index=False))
        return
    with replaced(file) as draft:
        table.to_parquet(draft, index=False)


def add_intervals(cells: PredictionDirectory, work: Work, store: Store) -> Intervals:
    """Put the table beside the cells, of which every shard is written.

    Args:
        cells: The prediction.
        work: What is predicted.
        store: With the controls that it started from.
    """
    trust = trust_of(work.request.model)
    controls = StoreControls(store, columns_in(store, trust.card))
    units = [unit for unit in work.units if unit.condition]  # controls come last
    most = trust.canonical(work.request.seed)
    ends = np.cumsum([unit.cells for unit in units])
    with opened_values(cells.path) as values:

        def generated(number: int) -> Iterator[Generated]:
            unit = units[number]
            rows = controls.rows(unit.context)
            start = starting_cells(
                rows,
                condition=unit.condition,
                cells=unit.cells,
                seed=work.request.seed,
                context=unit.context,
            )
            first = int(ends[number]) - unit.cells
            count = unit.cells if most is None else min(unit.cells, most, len(rows))
            for begin in range(0, count, SHARD):
                end = min(begin + SHARD, count)
                began = controls.expression(start.rows[begin:end])[:, work.genes]
                yield Generated(cells=values(first + begin, first + end), start=began)

        found = intervals_of(
            units,
            generated,
            controls=controls,
            trust=trust,
            genes=work.genes,
            level=work.request.interval,
        )
    cells.add(INTERVALS, found.plain())
    return found
