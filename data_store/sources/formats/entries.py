"""Rows of a matrix that is stored as entries: (row, column, value), in the order of rows or not.

Entries by row become CSR as they come. Others are collected on disk: one pass sorts them into runs
of rows, and each run is read again.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

ROWS = 16_384  # of a block, at most
_RUN_BLOCKS = 4  # blocks in a run of rows: fewer, longer files
_GROUPS = 65_536  # groups of rows in which entries are counted


class Entries(NamedTuple):
    """Some values of a matrix and their places, counted from 0."""

    rows: NDArray[np.integer[Any]]
    columns: NDArray[np.integer[Any]]
    values: NDArray[Any]


class EntryList(Protocol):
    """All values of a matrix; every look at them begins anew."""

    @property
    def entries(self) -> int:
        """How many there are."""

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The type of the values."""

    def blocks(self, size: int) -> Iterator[Entries]:
        """All as they stand, at most `size` at once."""

    def rows(self, size: int) -> Iterator[NDArray[np.integer[Any]]]:
        """Their rows alone, which may cost less."""


class OutOfOrderError(Exception):
    """Entries that began in the order of rows do not go on so."""


def by_row(
    parts: EntryList, *, shape: tuple[int, int], elements: int
) -> Iterator[tuple[int, sp.csr_matrix]]:
    """The rows of entries in the order of rows, as (first row, CSR).

    Raises:
        OutOfOrderError: They are not; nothing can be said of the rows that came before.
    """
    first, held = 0, Entries(*(np.empty(0, kind) for kind in (np.int32, np.int32, parts.dtype)))
    for came in parts.blocks(elements):
        block = Entries(*map(np.concatenate, zip(held, came, strict=True)))
        if not len(block.rows):
            continue
        if block.rows[0] < first or (block.rows[1:] < block.rows[:-1]).any():
            raise OutOfOrderError
        # The last row may go on in the next block.
        last = int(block.rows[-1])
        whole = int(np.searchsorted(block.rows, last))
        yield from _rows(Entries(*(p[:whole] for p in block)), first, last, genes=shape[1])
        first, held = last, Entries(*(p[whole:] for p in block))
    yield from _rows(held, first, shape[0], genes=shape[1])


def is_by_row(parts: EntryList, *, elements: int) -> bool:
    """Whether the first entries are in the order of rows, and of more than one."""
    rows = next(parts.rows(elements), np.empty(0, np.int32))
    return bool((rows[1:] >= rows[:-1]).all())


def collected(
    parts: EntryList, *, shape: tuple[int, int], elements: int, scratch: Path | None
) -> Iterator[tuple[int, sp.csr_matrix]]:
    """The rows of entries in any order, as (first row, CSR).

    Args:
        parts: The entries.
        shape: Rows and columns.
        elements: Values that are held at once, about.
        scratch: An existing folder for their copies, which are removed again. None means the
            system's.
    """
    folder = Path(tempfile.mkdtemp(prefix="columns-", dir=scratch))
    try:
        bounds = _row_bounds(parts, rows=shape[0], elements=_RUN_BLOCKS * elements)
        _sort_into_runs(parts, bounds, elements=_RUN_BLOCKS * elements, folder=folder)
        for run, low in enumerate(bounds[:-1].tolist()):
            size = (int(bounds[run + 1]) - low, shape[1])
            rows = _run(folder / str(run), low=low, shape=size, dtype=parts.dtype)
            for first, stop in cuts(rows.indptr, elements=elements):
                yield low + first, rows[first:stop]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def cuts(pointers: NDArray[Any], *, elements: int) -> Iterator[tuple[int, int]]:
    """Runs of rows with at most `elements` values, or one row."""
    low = 0
    while low < len(pointers) - 1:
        high = int(np.searchsorted(pointers, pointers[low] + elements, side="right")) - 1
        high = min(max(high, low + 1), len(pointers) - 1)
        yield low, high
        low = high


def _rows(
    block: Entries, first: int, stop: int, *, genes: int
) -> Iterator[tuple[int, sp.csr_matrix]]:
    """Rows first to stop, all of whose entries are here and in their order."""
    for low in range(first, stop, ROWS):
        high = min(low + ROWS, stop)
        ends = np.searchsorted(block.rows, np.arange(low, high + 1))
        here = slice(int(ends[0]), int(ends[-1]))
        rows = sp.csr_matrix(
            (block.values[here], block.columns[here], (ends - ends[0]).astype(np.int32)),
            shape=(high - low, genes),
        )
        rows.sum_duplicates()  # does nothing where columns rise
        yield low, rows


def _row_bounds(parts: EntryList, *, rows: int, elements: int) -> NDArray[np.int64]:
    """Where runs of rows with about `elements` values begin, and the end.

    Values are counted for groups of rows, so the counts stay small for any number of cells.
    """
    group = _group(rows)
    counts = np.zeros(-(-rows // group), dtype=np.int64)
    for places in parts.rows(elements):
        counts += np.bincount(places // group, minlength=len(counts))
    ends = np.concatenate([[0], np.cumsum(counts)])
    bounds = [0, *(high * group for _, high in cuts(ends, elements=elements))]
    return np.minimum(np.array(bounds, dtype=np.int64), rows)


def _group(rows: int) -> int:
    """Rows that are counted together."""
    return -(-max(1, rows) // _GROUPS)


def _sort_into_runs(
    parts: EntryList, bounds: NDArray[np.int64], *, elements: int, folder: Path
) -> None:
    """Append every value to the file of its run of rows."""
    group = _group(int(bounds[-1]))
    first = np.arange(-(-int(bounds[-1]) // group)) * group
    run_of = (np.searchsorted(bounds, first, side="right") - 1).astype(
        np.min_scalar_type(len(bounds))  # 16 bits are sorted many times faster
    )
    for block in parts.blocks(elements):
        run = run_of[block.rows // group]
        entries = np.empty(len(block.rows), dtype=_entry(parts.dtype))
        entries["row"], entries["column"], entries["value"] = block
        entries = entries[np.argsort(run, kind="stable")]
        counts = np.bincount(run, minlength=len(bounds))
        places = np.concatenate([[0], np.cumsum(counts)])
        for number in np.flatnonzero(counts).tolist():
            with (folder / str(number)).open("ab") as file:
                # Not tofile, whose error on a full disk does not say that it is full.
                file.write(entries[places[number] : places[number + 1]].view("u1").data)


def _entry(values: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([("row", "u4"), ("column", "u4"), ("value", values)])


def _run(path: Path, *, low: int, shape: tuple[int, int], dtype: np.dtype[Any]) -> sp.csr_matrix:
    """The rows from `low` on; the file is gone afterwards."""
    if not path.exists():
        return sp.csr_matrix(shape, dtype=dtype)
    entries = np.fromfile(path, dtype=_entry(dtype))
    path.unlink()
    rows, columns = (
        (entries[name] - first).astype(np.int32) for name, first in (("row", low), ("column", 0))
    )
    return sp.csr_matrix((entries["value"], (rows, columns)), shape=shape)
