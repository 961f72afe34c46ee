"""The first pass of an ingest: read, check, and send every row to its bucket."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store import normalise, spill
from data_store.detect import LibrarySize
from data_store.joining import Joined, recoded
from data_store.layout import Layout
from data_store.options import IngestOptions
from data_store.sources import Source
from data_store.spill import Rows, Spill

ROW_SUM = "_row_sum"  # travels with obs
_LARGEST_BLOCK = 4_000_000  # values read at once
_ROW_BYTES = 100  # of a cell beside its values, about
_SHARE_HELD = 0.125  # of the memory: rows that wait to be spilled


class Routed(NamedTuple):
    """All rows in buckets, and what was seen on the way."""

    spill: Spill
    seen: NDArray[np.int64]  # (genes,), cells in which a gene is not zero
    largest: float  # value
    library: LibrarySize


def route(
    sources: Sequence[Source],
    *,
    layers: Sequence[str],
    joined: Joined,
    layout: Layout,
    normalised: bool,
    folder: Path,
    options: IngestOptions,
) -> Routed:
    """Read all sources once.

    Raises:
        ValueError: A value is not what it should be, or a file is damaged; names the file.
    """
    library = LibrarySize([] if normalised else joined.columns, options=options)
    seen = np.zeros(len(joined.genes), dtype=np.int64)
    sink: Spill | None = None
    largest, offset = 0.0, 0
    for k, source in enumerate(sources):
        elements = min(_LARGEST_BLOCK, options.memory // 200)
        for start, block in source.blocks(layers[k], elements=elements):
            where = f"{source.path} ({layers[k]}, cells {start}-{start + block.shape[0]})"
            check = normalise.as_log if normalised else normalise.as_counts
            block = check(block, where=where)
            row_sums = _row_sums(block)
            stop = start + block.shape[0]
            obs = source.obs_block(list(joined.columns), start=start, stop=stop)
            obs = recoded(obs, joined.codes[k], columns=joined.columns)
            library.see(obs, row_sums=row_sums)
            obs[ROW_SUM] = row_sums
            rows = Rows(
                unit=layout.unit[offset + start : offset + stop],
                key=spill.keys(offset + start, offset + stop, seed=options.seed),
                matrix=select_genes(block, joined.positions[k], genes=len(joined.genes)),
                obs=obs,
            )
            if sink is None:
                sink = _sink(rows, layout=layout, folder=folder, options=options)
            if (rows.unit < 0).any():
                rows = rows.take(np.flatnonzero(rows.unit >= 0))
            seen += np.bincount(rows.matrix.indices, minlength=len(seen))
            largest = max(largest, float(rows.matrix.data.max(initial=0)))
            sink.add(rows)
        offset += source.cells
    assert sink is not None, "a layout has cells"
    sink.finish()
    return Routed(spill=sink, seen=seen, largest=largest, library=library)


def select_genes(
    rows: sp.csr_matrix, positions: NDArray[np.int32] | None, *, genes: int
) -> sp.csr_matrix:
    """Rows with gene j moved to positions[j], or dropped where that is -1."""
    if positions is None:
        return rows
    moved = positions[rows.indices]
    kept = moved >= 0
    if kept.all():
        result = sp.csr_matrix((rows.data, moved, rows.indptr), shape=(rows.shape[0], genes))
    else:
        ends = np.concatenate([[0], np.cumsum(kept)])
        indptr = ends[rows.indptr].astype(np.int32)
        result = sp.csr_matrix((rows.data[kept], moved[kept], indptr), shape=(rows.shape[0], genes))
    result.sort_indices()
    return result


def _row_sums(block: sp.csr_matrix) -> NDArray[np.float64]:
    """What each cell adds up to: counts exactly, log values as good as may be."""
    kind = np.float64 if block.data.dtype.kind == "f" else np.int64
    # Converting first is ten times faster than a sum that converts.
    running = np.concatenate([[0], np.cumsum(block.data.astype(kind))])
    return np.diff(running[block.indptr]).astype(np.float64)


def _sink(rows: Rows, *, layout: Layout, folder: Path, options: IngestOptions) -> Spill:
    """Buckets for all cells, judged by the size of the first block's."""
    row_bytes = 6 * rows.matrix.nnz / max(1, rows.matrix.shape[0]) + _ROW_BYTES
    buckets = spill.plan(layout.cells, row_bytes=row_bytes, bucket_bytes=spill.BUCKET_BYTES)
    return Spill(folder / "spill", buckets=buckets, memory=int(options.memory * _SHARE_HELD))
