"""The second pass of an ingest: bucket after bucket is sorted, summed and written.

Several workers prepare buckets, which are written in order, so the store is the same for any number
of workers.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store.disk.columns import Block
from data_store.disk.csr import rows_of, select_genes
from data_store.disk.workers import Workers
from data_store.ingest.assemble import Cells, Writer
from data_store.ingest.route import ROW_SUM, Routed
from data_store.ingest.spill import Spill
from data_store.store.moments import UnitSums
from data_store.store.schema import LIBRARY_SIZE
from scdfm.screen.progress import OnProgress, counted


def fill(
    writer: Writer,
    routed: Routed,
    *,
    kept: NDArray[np.int64],
    renamed: dict[str, str],
    library: str | None,
    workers: Workers,
    progress: OnProgress | None,
) -> None:
    """Write all rows.

    Args:
        writer: Of the new store.
        routed: The rows.
        kept: Genes that the store keeps, as positions.
        renamed: obs columns stored under another name: ours -> theirs.
        library: The column with the library sizes; None: row sums.
        workers: They share the work.
        progress: Receives the number of cells written.
    """
    position: NDArray[np.int32] | None = None
    if len(kept) < routed.genes:
        position = np.full(routed.genes, -1, dtype=np.int32)
        position[kept] = np.arange(len(kept), dtype=np.int32)
    prepare = partial(
        _prepare,
        spill=routed.spill,
        position=position,
        genes=len(kept),
        renamed=renamed,
        library=library,
        normalised=writer.normalised,
    )
    for cells in counted(
        workers.in_order(prepare, range(routed.spill.buckets.total)),
        total=writer.cells,
        unit="cells",
        note="written",
        size=lambda cells: 0 if cells is None else cells.matrix.shape[0],
        progress=progress,
    ):
        if cells is not None:
            writer.append(cells)
        del cells  # before the next bucket comes
    writer.close()
    routed.spill.remove()


def sums_of_all(routed: Routed, *, library: str | None, normalised: bool) -> UnitSums:
    """Sums over all cells, before any gene is dropped."""
    sums = UnitSums(routed.genes)
    for bucket in range(routed.spill.buckets.total):
        rows = routed.spill.sorted(bucket)
        if rows is not None:
            sizes = _library(rows.obs, library)
            sums.add(rows.matrix, library=sizes, normalised=normalised)
    return sums


def _prepare(
    bucket: int,
    *,
    spill: Spill,
    position: NDArray[np.int32] | None,
    genes: int,
    renamed: dict[str, str],
    library: str | None,
    normalised: bool,
) -> Cells | None:
    rows = spill.sorted(bucket)
    if rows is None:
        return None
    matrix = select_genes(rows.matrix, position, genes=genes)
    sizes = _library(rows.obs, library)
    obs = _renamed(rows.obs, renamed)
    obs[LIBRARY_SIZE] = np.full(len(sizes), np.nan) if normalised else sizes
    sums = _sums(rows.unit, matrix, library=obs[LIBRARY_SIZE], normalised=normalised)
    return Cells(matrix=matrix, obs=obs, sums=dict(sums))


def _sums(
    unit: NDArray[np.int32],
    matrix: sp.csr_matrix,
    *,
    library: NDArray[np.float64],
    normalised: bool,
) -> Iterator[tuple[int, UnitSums]]:
    """The sums of each unit's cells; units rise."""
    bounds = np.flatnonzero(np.diff(unit, prepend=-1, append=-1))
    for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        sums = UnitSums(matrix.shape[1])
        sums.add(rows_of(matrix, low, high), library=library[low:high], normalised=normalised)
        yield int(unit[low]), sums


def _library(obs: Block, column: str | None) -> NDArray[np.float64]:
    return obs[ROW_SUM if column is None else column].astype(np.float64)


def _renamed(obs: Block, renamed: dict[str, str]) -> Block:
    """The block with the store's column names, without temporary columns."""
    ours = {theirs: name for name, theirs in renamed.items()}
    block: Block = {}
    for key, part in obs.items():
        name, slash, rest = key.partition("/")
        block[f"{ours.get(name, name)}{slash}{rest}"] = part
    del block[ROW_SUM]
    return block
