"""Rows of the matrix: from chunks on disk to dense expression of the wanted genes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_store.disk.chunks import ChunkReader, Sharded, Span
from data_store.store import normalise


class Rows(NamedTuple):
    """Some decoded rows, as CSR."""

    indptr: NDArray[np.int64]  # (rows + 1,), from 0
    indices: NDArray[np.int32]
    data: NDArray[Any]
    scale: NDArray[np.float32]  # (rows,), 10,000 / library size


class RowArrays(NamedTuple):
    """The arrays that hold the rows."""

    indptr: Sharded
    indices: Sharded
    data: Sharded
    library: Sharded


class Columns(NamedTuple):
    """The wanted genes."""

    place: NDArray[np.int32] | None  # per column of the store: where it goes, -1 for nowhere
    width: int


def read_rows(
    reader: ChunkReader, arrays: RowArrays, runs: Sequence[tuple[int, int]]
) -> list[Rows]:
    """Decode runs of rows (start, stop), all of them together."""
    heads = reader.read(
        [
            span
            for start, stop in runs
            for span in (
                Span(arrays.indptr, start, stop + 1),
                Span(arrays.library, start, stop),
            )
        ]
    )
    pointers = [head.astype(np.int64) for head in heads[::2]]
    values = reader.read(
        [
            Span(part, int(of[0]), int(of[-1]))
            for of in pointers
            for part in (arrays.indices, arrays.data)
        ]
    )
    return [
        Rows(of - of[0], indices, data, normalise.scale(library).astype(np.float32))
        for of, library, indices, data in zip(
            pointers, heads[1::2], values[::2], values[1::2], strict=True
        )
    ]


def densify(
    rows: Rows,
    columns: Columns,
    *,
    normalised: bool,
    out: NDArray[np.float32],
    to: NDArray[np.int64],
) -> None:
    """Write the expression of rows into rows `to` of `out`, which hold zeros."""
    if columns.place is None:
        place, data, lengths = rows.indices, rows.data, np.diff(rows.indptr)
    else:
        # Genes are chosen first: logarithms are what is dear.
        place = columns.place.take(rows.indices, mode="clip")
        kept = (place >= 0).nonzero()[0]
        place, data = place.take(kept), rows.data.take(kept)
        lengths = np.diff(kept.searchsorted(rows.indptr))
    values = data if normalised else normalise.expression(data, scale=rows.scale, repeats=lengths)
    out.reshape(-1)[np.repeat(to * out.shape[1], lengths) + place] = values
