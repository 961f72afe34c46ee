"""Cells in a notebook: simulate, ingest, open, split."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata
import numpy as np

from cluster.door.controls import STORE_ROW
from cluster.door.settings import filled, keywords_of
from cluster.runs.plan import contexts_of_conditions
from data_store.ingest.write import IngestOptions
from data_store.ingest.write import ingest as ingest_files
from data_store.simulate import simulate as simulate_screen
from data_store.simulate_options import SimulateOptions
from data_store.store.export import to_adata
from data_store.store.reader import Store
from data_store.store.schema import LIBRARY_SIZE
from scdfm.screen.conditions import CONTROL
from scdfm.splits import Split, SplitConfig
from scdfm.splits import make_split as part_conditions


@keywords_of(SimulateOptions)
def simulate(**settings: Any) -> anndata.AnnData:
    """Simulate a screen with known truth: counts, obs `condition` and `ncounts`, uns `truth`.

    Args:
        **settings: Of `scdfm simulate`: cells, genes, singles, doubles, contexts, seed.

    Raises:
        ValueError: Sizes that do not fit together.
    """
    return simulate_screen(filled(SimulateOptions, settings, where="simulate"))


@keywords_of(IngestOptions)
def ingest(
    source: str | Path | Sequence[str | Path] | anndata.AnnData, store: str | Path, **settings: Any
) -> Store:
    """Write cells into a sharded store, and open it.

    Args:
        source: An AnnData in memory, a file, or several, as `scdfm ingest` takes them.
        store: The directory to write, or a URL. One that holds these cells already is opened.
        **settings: Of `scdfm ingest`, such as condition_column, context_column, layer.

    Raises:
        FileNotFoundError, FileExistsError, ValueError: Bad input, in one line; nothing is left.
    """
    options = filled(IngestOptions, settings, where="ingest")
    ingest_files(source, store, options=options)
    return Store.open(store)


def open_store(path: str | Path, *, fingerprint: str | None = None) -> Store:
    """Open a store.

    Args:
        path: A directory, or a URL (s3://, gs://, https://).
        fingerprint: Of an older version; none: the newest.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It is not a complete store, or has no such version.
    """
    return Store.open(path, fingerprint=fingerprint)


def control_cells(store: str | Path | Store) -> anndata.AnnData:
    """The control cells of a store, as a model's `predict` takes them.

    Returns:
        Counts (or log1p per 10k, where the store holds these) in X, CSR, (cells, genes). obs is the
        source's, with `context`, `library_size` and `store_row`, which make a prediction from these
        cells the one that `scdfm predict` makes from the store.
    """
    opened = store if isinstance(store, Store) else Store.open(store)
    cells = to_adata(opened, conditions=[CONTROL])
    units = [unit for unit in opened.units if unit.is_control]
    cells.obs["context"] = np.repeat([unit.context for unit in units], [len(u) for u in units])
    cells.obs["context"] = cells.obs["context"].astype("category")
    rows = [np.arange(unit.start, unit.stop) for unit in units]
    cells.obs[STORE_ROW] = np.concatenate(rows)
    sizes = [opened.library_sizes(unit.start, unit.stop) for unit in units]
    cells.obs[LIBRARY_SIZE] = np.concatenate(sizes)
    return cells


@keywords_of(SplitConfig)
def make_split(store: str | Path | Store, **settings: Any) -> Split:
    """Divide the conditions of a store into train, validation and test.

    Args:
        store: An open store, or where one is.
        **settings: Of `scdfm split`: kind, fold, seed, fraction, genes, context, test, ...

    Raises:
        ValueError: A part would be empty (names a kind that would work), or a name is unknown.
    """
    config = filled(SplitConfig, settings, where="make_split")
    opened = store if isinstance(store, Store) else Store.open(store)
    return part_conditions(
        config,
        conditions=opened.conditions,
        contexts=contexts_of_conditions(opened),
        words=opened.words,
    )
