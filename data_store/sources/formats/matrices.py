"""Cells x genes matrices in files, read in bounded blocks of rows: CSR, dense, CSC, and entries.

Rows of a matrix stored by columns (CSC), or as entries in any order, are collected on disk.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store.disk.arrays import Arrays
from data_store.disk.damage import DamagedError
from data_store.sources.formats.entries import (
    ROWS,
    Entries,
    EntryList,
    OutOfOrderError,
    by_row,
    collected,
    cuts,
    is_by_row,
)

_PLACES = 16  # where rows are sampled: a chunk of the file is decoded at each
_LEAST_ROWS = 64
_HEAD = 500_000  # values that tell what a matrix is like
Form: TypeAlias = Literal["csr", "csc", "dense", "by row", "entries"]
_FORMS: dict[str, Literal["csr", "csc", "dense"]] = {
    "csr_matrix": "csr",
    "csc_matrix": "csc",
    "array": "dense",
}


@dataclass(frozen=True)
class Matrix:
    """A matrix in a file; nothing is read yet."""

    # dense: an h5py or zarr array; CSR and CSC: the group with data, indices, indptr; else an
    # EntryList
    content: Any
    form: Form
    cells: int
    genes: int

    @property
    def has_rows(self) -> bool:
        """Whether any row can be read without the others."""
        return self.form in ("csr", "dense")

    @property
    def is_collected(self) -> bool:
        """Whether the values of a row lie apart, so that rows are collected on disk."""
        return self.form in ("csc", "entries")


def of_anndata(element: Any, *, cells: int, genes: int) -> Matrix:
    """A matrix in AnnData's encoding.

    Raises:
        OSError: It is encoded in another way, or has another size.
    """
    # anndata 0.6 wrote the form alone.
    before = element.attrs.get("h5sparse_format")
    usual = f"{before}_matrix" if before is not None else "array"
    encoding = str(element.attrs.get("encoding-type", usual))
    if encoding not in _FORMS:
        raise DamagedError(f"a matrix encoded as {encoding!r} is neither CSR, CSC nor dense")
    form = _FORMS[encoding]
    lines = {"csr": cells + 1, "csc": genes + 1}  # pointers, where there are any
    expected = (cells, genes) if form == "dense" else (lines[form],)
    found = tuple((element if form == "dense" else element["indptr"]).shape)
    if found != expected:
        raise DamagedError(
            f"a {form} matrix of {found} rows and columns or pointers, {expected} expected for "
            f"{cells} cells and {genes} genes"
        )
    return Matrix(content=element, form=form, cells=cells, genes=genes)


def of_entries(parts: EntryList, *, cells: int, genes: int) -> Matrix:
    """A matrix of entries; its first ones tell whether they come row after row."""
    form: Form = "by row" if is_by_row(parts, elements=_HEAD) else "entries"
    return Matrix(content=parts, form=form, cells=cells, genes=genes)


def in_any_order(matrix: Matrix) -> Matrix:
    """The matrix, read without trust in the order of its entries."""
    return replace(matrix, form="entries") if matrix.form == "by row" else matrix


def blocks(
    matrix: Matrix, *, elements: int, scratch: Path | None
) -> Iterator[tuple[int, sp.csr_matrix]]:
    """All rows in order as (first row, CSR), at most about `elements` values each.

    Args:
        matrix: In an open file.
        elements: Values that are held at once; a single row may have more.
        scratch: An existing folder for rows that are collected, which are removed again. None means
            the system's.

    Raises:
        OSError: Parts are missing or contradict each other.
        OutOfOrderError: Entries by row are not; `in_any_order` reads them.
    """
    shape = (matrix.cells, matrix.genes)
    if matrix.form == "dense":
        yield from _dense_blocks(matrix, elements=elements)
    elif matrix.form == "csr":
        yield from _csr_blocks(matrix, elements=elements)
    elif matrix.form == "by row":
        yield from by_row(matrix.content, shape=shape, elements=elements)
    else:
        parts = matrix.content if matrix.form == "entries" else _Columns(matrix)
        yield from collected(parts, shape=shape, elements=elements, scratch=scratch)


def head(matrix: Matrix, *, elements: int) -> sp.csr_matrix:
    """About the first `elements` values: of rows, or of columns where it is stored by columns."""
    if not matrix.is_collected:
        every = (rows for _, rows in blocks(matrix, elements=elements, scratch=None))
        try:
            return next((rows for rows in every if rows.nnz), sp.csr_matrix((0, matrix.genes)))
        except OutOfOrderError:
            return head(in_any_order(matrix), elements=elements)
    parts = matrix.content if matrix.form == "entries" else _Columns(matrix)
    values = next((block.values for block in parts.blocks(elements)), np.empty(0))
    places, ends = np.arange(len(values)), np.array([0, len(values)])
    return sp.csr_matrix((values, places, ends), shape=(1, max(1, len(values))))


def sample(matrix: Matrix, *, elements: int) -> sp.csr_matrix:
    """Whole rows with about `elements` values, spread evenly over the matrix, first to last.

    Values that are not stored row by row are all read for it, in bounded memory.
    """
    runs = _sampled(matrix, elements=elements)
    if not matrix.has_rows:
        return _rows_among_entries(matrix, [first for first, _ in runs], elements=elements)
    content = matrix.content if matrix.form == "dense" else _arrays(matrix)
    opened = replace(matrix, content=content)
    parts = [_rows_from(opened, first, stop) for first, stop in runs]
    return sp.csr_matrix(sp.vstack(parts, format="csr"))


def sampled(matrix: Matrix, *, elements: int) -> NDArray[np.int64]:
    """The rows that `sample` takes, in its order."""
    return np.concatenate([np.arange(*run) for run in _sampled(matrix, elements=elements)])


def _sampled(matrix: Matrix, *, elements: int) -> list[tuple[int, int]]:
    """Runs of rows (first, stop); single rows where any is as easy to read as the next."""
    mean = values_per_cell(matrix) if matrix.form != "dense" else matrix.genes
    wanted = min(matrix.cells, max(_LEAST_ROWS, int(elements / max(1.0, mean))))
    if not matrix.has_rows:
        return [(row, row + 1) for row in _spread(matrix.cells, wanted)]
    if wanted == matrix.cells:
        return [(0, matrix.cells)]
    run = -(-wanted // _PLACES)
    return [(first, first + run) for first in _spread(matrix.cells - run + 1, _PLACES)]


def stored_as(matrix: Matrix) -> np.dtype[Any]:
    """The type of the values in the file."""
    keyed = matrix.form in ("csr", "csc")
    dtype: np.dtype[Any] = np.dtype((matrix.content["data"] if keyed else matrix.content).dtype)
    return dtype


def values_per_cell(matrix: Matrix) -> float:
    """How many values a cell has on average; of a dense matrix, one of the first cells."""
    if matrix.form == "dense":
        first = head(matrix, elements=_HEAD)
        return first.nnz / max(1, first.shape[0])
    if matrix.form in ("by row", "entries"):
        return float(matrix.content.entries) / max(1, matrix.cells)
    last = int(matrix.content["indptr"].shape[0]) - 1
    return int(matrix.content["indptr"][last]) / max(1, matrix.cells)


def _spread(size: int, count: int) -> list[int]:
    """Numbers below `size`, evenly spaced, the first and the last among them."""
    return list(dict.fromkeys(np.linspace(0, max(0, size - 1), count).astype(int).tolist()))


def _rows_from(matrix: Matrix, first: int, stop: int) -> sp.csr_matrix:
    if matrix.form == "dense":
        rows = np.asarray(matrix.content[first:stop])
        return sp.csr_matrix(rows.astype(_readable(rows.dtype), copy=False))
    return _csr(matrix.content, _pointers(matrix.content, first, stop), genes=matrix.genes)


def _rows_among_entries(matrix: Matrix, rows: list[int], *, elements: int) -> sp.csr_matrix:
    """These rows of a matrix whose rows lie apart."""
    place = np.full(matrix.cells, -1, dtype=np.int32)
    place[rows] = np.arange(len(rows))
    parts = _Columns(matrix) if matrix.form == "csc" else matrix.content
    none: NDArray[Any] = np.empty(0, dtype=np.int32)
    found: list[tuple[NDArray[Any], ...]] = [(np.empty(0, parts.dtype), none, none)]
    for block in parts.blocks(elements):
        hit = np.flatnonzero(place[block.rows] >= 0)
        found.append((block.values[hit], place[block.rows[hit]], block.columns[hit]))
    values, at, columns = (np.concatenate(part) for part in zip(*found, strict=True))
    return sp.csr_matrix((values, (at, columns)), shape=(len(rows), matrix.genes))


def _dense_blocks(matrix: Matrix, *, elements: int) -> Iterator[tuple[int, sp.csr_matrix]]:
    step = _dense_rows(matrix, elements=elements)
    for start in range(0, matrix.cells, step):
        rows = np.asarray(matrix.content[start : start + step])
        yield start, sp.csr_matrix(rows.astype(_readable(rows.dtype), copy=False))


def _dense_rows(matrix: Matrix, *, elements: int) -> int:
    """Rows of a block: whole chunks where that fits, so that none is decoded twice."""
    step = max(1, elements // max(1, matrix.genes))
    chunk = int((getattr(matrix.content, "chunks", None) or (1,))[0])
    if chunk * matrix.genes <= 4 * elements:
        return max(chunk, step - step % chunk)
    return step


def _csr_blocks(matrix: Matrix, *, elements: int) -> Iterator[tuple[int, sp.csr_matrix]]:
    group = _arrays(matrix)
    for first in range(0, matrix.cells, ROWS):
        stop = min(first + ROWS, matrix.cells)
        pointers = _pointers(group, first, stop)
        for low, high in cuts(pointers, elements=elements):
            yield first + low, _csr(group, pointers[low : high + 1], genes=matrix.genes)


def _arrays(matrix: Matrix) -> Arrays:
    """The arrays of a CSR matrix: to open one of HDF5 for each block is a fiftieth of an ingest."""
    return {name: matrix.content[name] for name in ("data", "indices", "indptr")}


def _pointers(group: Any, first: int, stop: int) -> NDArray[np.int64]:
    pointers = np.asarray(group["indptr"][first : stop + 1]).astype(np.int64)
    if len(pointers) != stop - first + 1 or (np.diff(pointers) < 0).any():
        raise DamagedError(f"pointers {first}-{stop} are damaged")
    return pointers


def _csr(group: Any, pointers: NDArray[np.int64], *, genes: int) -> sp.csr_matrix:
    start, stop = int(pointers[0]), int(pointers[-1])
    data, indices = _values(group, start, stop, limit=genes)
    # scipy is many times slower when indptr and indices differ in type.
    rows = (pointers - start).astype(np.int32)
    return sp.csr_matrix(
        (data, indices.astype(np.int32, copy=False), rows), shape=(len(rows) - 1, genes), copy=False
    )


def _values(
    group: Any, start: int, stop: int, *, limit: int
) -> tuple[NDArray[Any], NDArray[np.integer[Any]]]:
    data, indices = np.asarray(group["data"][start:stop]), _indices(group, start, stop, limit=limit)
    if len(data) != stop - start:
        raise DamagedError(f"values {start}-{stop} are missing")
    return data.astype(_readable(data.dtype.newbyteorder("=")), copy=False), indices


def _indices(group: Any, start: int, stop: int, *, limit: int) -> NDArray[np.integer[Any]]:
    indices = np.asarray(group["indices"][start:stop])
    if len(indices) != stop - start:
        raise DamagedError(f"values {start}-{stop} are missing")
    if len(indices) and (indices.min() < 0 or indices.max() >= limit):
        raise DamagedError(f"an index is not below {limit}")
    return indices


class _Columns:
    """The values of a CSC matrix as entries, column after column."""

    def __init__(self, matrix: Matrix) -> None:
        self._group, self._cells = matrix.content, matrix.cells
        self._ends = _pointers(matrix.content, 0, matrix.genes)

    @property
    def entries(self) -> int:
        return int(self._ends[-1])

    @property
    def dtype(self) -> np.dtype[Any]:
        return _readable(np.dtype(self._group["data"].dtype).newbyteorder("="))

    def blocks(self, size: int) -> Iterator[Entries]:
        for start in range(0, self.entries, size):
            stop = min(start + size, self.entries)
            data, rows = _values(self._group, start, stop, limit=self._cells)
            inside = np.clip(self._ends, start, stop)
            columns = np.repeat(np.arange(len(inside) - 1), inside[1:] - inside[:-1])
            yield Entries(rows, columns, data)

    def rows(self, size: int) -> Iterator[NDArray[np.integer[Any]]]:
        for start in range(0, self.entries, size):
            stop = min(start + size, self.entries)
            yield _indices(self._group, start, stop, limit=self._cells)


def _readable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type itself, or the wider one where scipy has no sparse matrices of it."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype
