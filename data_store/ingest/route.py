"""The first pass of an ingest: read, check, and send every row to its bucket."""

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store.disk.columns import Block
from data_store.disk.csr import ColumnSums, row_sums, select_genes
from data_store.disk.workers import Workers
from data_store.ingest import spill
from data_store.ingest.ahead import ObsAhead
from data_store.ingest.append import StoredCells
from data_store.ingest.layout import Layout
from data_store.ingest.spill import Arranged, Buckets, Rows, Spill
from data_store.sources.detect import LibrarySize
from data_store.sources.formats.entries import OutOfOrderError
from data_store.sources.joining import Joined, recoded
from data_store.sources.notes import note
from data_store.sources.options import IngestOptions
from data_store.sources.source import Source, in_any_order
from data_store.sources.values.reading import Reading
from data_store.store import scales
from data_store.store.moments import UnitSums
from scdfm.screen.progress import OnProgress, counted

ROW_SUM = "/row_sum"  # travels with obs, under a name that no column can have
_LARGEST_BLOCK = 1_000_000  # values read at once
_ROW_BYTES = 100  # of a cell, besides its values, about
_SHARE_HELD = 0.125  # of the memory: rows that wait to be spilled


class Routed(NamedTuple):
    """All rows in buckets, and what was learnt while reading."""

    spill: Spill
    genes: int
    seen: NDArray[np.int64] | None  # (genes,), cells in which each is not zero, where that matters
    nonzero: int  # values of all genes
    rounded: int  # values that were not whole (--round)
    largest: tuple[float, ...]  # value of each source
    library: LibrarySize


class _Read(NamedTuple):
    """A block of rows as in its source."""

    source: int
    row: int  # the first one's, over all sources
    where: str
    block: sp.csr_matrix
    obs: Block
    library: NDArray[np.float64] | None  # where it is known


class _Checked(NamedTuple):
    """A block of rows in the order of the buckets."""

    arranged: Arranged
    obs: Block  # of all rows of the block
    row_sums: NDArray[np.float64]
    seen: NDArray[np.int64] | None
    nonzero: int
    rounded: int
    source: int
    largest: float


def route(
    sources: Sequence[Source],
    *,
    readings: Sequence[Reading],
    joined: Joined,
    layout: Layout,
    folder: Path,
    options: IngestOptions,
    workers: Workers,
    progress: OnProgress | None,
) -> Routed:
    """Read all sources; again, where one is not in the order in which its first cells are.

    Raises:
        ValueError: A value is wrong, or a file is damaged; names the file.
    """
    once = partial(
        _route,
        readings=readings,
        joined=joined,
        layout=layout,
        folder=folder / "spill",
        options=options,
        workers=workers,
        progress=progress,
    )
    try:
        return once(sources)
    except OutOfOrderError:
        note("values are not listed cell by cell to the end, so they are collected on disk first")
        shutil.rmtree(folder / "spill", ignore_errors=True)
        return once([in_any_order(source) for source in sources])


def _route(
    sources: Sequence[Source],
    *,
    readings: Sequence[Reading],
    joined: Joined,
    layout: Layout,
    folder: Path,
    options: IngestOptions,
    workers: Workers,
    progress: OnProgress | None,
) -> Routed:
    """Read all sources once."""
    # Of log values a column can tell no more than their depth, which the readings know.
    sought = options.model_copy(update={"library_size_column": None})
    library = LibrarySize([], options=sought)
    if not readings[0].normalised:
        library = LibrarySize(joined.columns, options=options)
    # Costs a twentieth of an ingest, and decides nothing when all genes are kept.
    count = bool(options.min_cells or options.genes or options.gene_list)
    total = np.zeros(len(joined.genes), dtype=np.int64) if count else None
    nonzero, rounded, largest = 0, 0, [0.0] * len(sources)
    sink = Spill(
        folder,
        buckets=_buckets(sources, readings=readings, layout=layout, genes=len(joined.genes)),
        memory=int(options.memory * _SHARE_HELD),
    )
    check = partial(
        _check,
        joined=joined,
        layout=layout,
        readings=readings,
        seed=options.seed,
        count=count,
        buckets=sink.buckets,
    )
    blocks = _read(sources, readings=readings, joined=joined, options=options)
    for checked in counted(
        workers.in_order(check, blocks),
        total=sum(source.cells for source in sources),
        unit="cells",
        note="read",
        size=lambda checked: len(checked.row_sums),
        progress=progress,
    ):
        library.see(checked.obs, row_sums=checked.row_sums)
        if total is not None and checked.seen is not None:
            total += checked.seen
        nonzero += checked.nonzero
        rounded += checked.rounded
        largest[checked.source] = max(largest[checked.source], checked.largest)
        sink.add(checked.arranged)
    sink.finish()
    return Routed(
        spill=sink,
        genes=len(joined.genes),
        seen=total,
        nonzero=nonzero,
        rounded=rounded,
        largest=tuple(largest),
        library=library,
    )


def _buckets(
    sources: Sequence[Source], *, readings: Sequence[Reading], layout: Layout, genes: int
) -> Buckets:
    """Buckets for all cells, sized by the values of each source."""
    size = 0.0
    for source, one in zip(sources, readings, strict=True):
        size += (6 * source.values_per_cell(one.layer) + _ROW_BYTES) * source.cells
    cells = sum(source.cells for source in sources)
    return spill.plan(
        layout.cells,
        row_bytes=size / cells,
        unit_bytes=UnitSums.BYTES * genes,
        bucket_bytes=spill.BUCKET_BYTES,
    )


def _read(
    sources: Sequence[Source],
    *,
    readings: Sequence[Reading],
    joined: Joined,
    options: IngestOptions,
) -> Iterator[_Read]:
    elements = min(_LARGEST_BLOCK, options.memory // 200)
    offset = 0
    for k, source in enumerate(sources):
        layer = readings[k].layer
        obs = ObsAhead(source, [source.columns[column.name] for column in joined.columns])
        for start, block in source.blocks(layer, elements=elements):
            stop = start + block.shape[0]
            yield _Read(
                source=k,
                row=offset + start,
                where=f"{source.path} ({layer}, cells {start}-{stop})",
                block=block,
                obs=obs.rows(start, stop),
                library=source.library_sizes(start, stop)
                if isinstance(source, StoredCells)
                else None,
            )
        offset += source.cells


def _check(
    read: _Read,
    *,
    joined: Joined,
    layout: Layout,
    readings: Sequence[Reading],
    seed: int,
    count: bool,
    buckets: Buckets,
) -> _Checked:
    one = readings[read.source]
    block = one.taken(read.block, where=read.where)
    # A store may have dropped genes that its cells' library sizes counted.
    sums = row_sums(block) if read.library is None else read.library
    rows = slice(read.row, read.row + block.shape[0])
    obs = recoded(read.obs, joined.codes[read.source], columns=joined.columns)
    obs[ROW_SUM] = sums
    arranged = buckets.arrange(
        Rows(
            unit=layout.unit[rows],
            key=spill.keys(rows.start, rows.stop, seed=seed),
            matrix=select_genes(block, joined.positions[read.source], genes=len(joined.genes)),
            obs=obs,
        )
    )
    matrix = arranged.rows.matrix
    return _Checked(
        arranged=arranged,
        obs=obs,
        # Columns of library sizes are of what the source held.
        row_sums=row_sums(read.block) if one.rounded else sums,
        seen=ColumnSums(matrix).count() if count else None,
        nonzero=matrix.nnz,
        rounded=int((~scales.whole(read.block.data)).sum()) if one.rounded else 0,
        source=read.source,
        largest=float(matrix.data.max(initial=0)),
    )
