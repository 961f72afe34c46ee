"""Cells x genes matrices in files, read in bounded blocks of rows: CSR, dense, and CSC.

Rows of a matrix stored by columns (CSC) are collected on disk: one pass over its columns sorts the
values into runs of rows, and each run is read again as CSR.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

_ROWS = 16_384  # rows whose pointers are read at once
_RUN_BLOCKS = 4  # blocks in a run of rows of a CSC matrix: fewer, longer files
_HEAD = 500_000  # values that tell what a matrix is like
_GROUPS = 65_536  # groups of rows in which the values of a CSC matrix are counted
_FORMS: dict[str, Literal["csr", "csc", "dense"]] = {
    "csr_matrix": "csr",
    "csc_matrix": "csc",
    "array": "dense",
}


@dataclass(frozen=True)
class Matrix:
    """A matrix in a file; nothing is read yet."""

    content: Any  # dense: an h5py or zarr array; else the group with data, indices, indptr
    form: Literal["csr", "csc", "dense"]
    cells: int
    genes: int


def of_anndata(element: Any, *, cells: int, genes: int) -> Matrix:
    """A matrix in AnnData's encoding.

    Raises:
        OSError: It is encoded in another way, or has another size.
    """
    encoding = str(element.attrs.get("encoding-type", "array"))
    if encoding not in _FORMS:
        raise OSError(f"a matrix encoded as {encoding!r} is neither CSR, CSC nor dense")
    form = _FORMS[encoding]
    lines = {"csr": cells + 1, "csc": genes + 1}  # pointers, where there are any
    expected = (cells, genes) if form == "dense" else (lines[form],)
    found = tuple((element if form == "dense" else element["indptr"]).shape)
    if found != expected:
        raise OSError(
            f"a {form} matrix of {found} rows and columns or pointers, {expected} expected for "
            f"{cells} cells and {genes} genes"
        )
    return Matrix(content=element, form=form, cells=cells, genes=genes)


def blocks(
    matrix: Matrix, *, elements: int, scratch: Path | None
) -> Iterator[tuple[int, sp.csr_matrix]]:
    """All rows in order as (first row, CSR), at most about `elements` values each.

    Args:
        matrix: In an open file.
        elements: Values that are held at once; a single row may have more.
        scratch: An existing folder for the values of a CSC matrix, which are removed again. None
            means the system's.

    Raises:
        OSError: Parts are missing or contradict each other.
    """
    if matrix.form == "dense":
        yield from _dense_blocks(matrix, elements=elements)
    elif matrix.form == "csr":
        yield from _csr_blocks(matrix, elements=elements)
    else:
        folder = Path(tempfile.mkdtemp(prefix="columns-", dir=scratch))
        try:
            yield from _csc_blocks(matrix, elements=elements, folder=folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def head(matrix: Matrix, *, elements: int) -> sp.csr_matrix:
    """About the first `elements` values: of rows, or of columns where it is stored by columns."""
    if matrix.form != "csc":
        return next(blocks(matrix, elements=elements, scratch=None), (0, sp.csr_matrix((0, 0))))[1]
    values = np.asarray(matrix.content["data"][:elements])
    places, ends = np.arange(len(values)), np.array([0, len(values)])
    return sp.csr_matrix((values, places, ends), shape=(1, max(1, len(values))))


def values_per_cell(matrix: Matrix) -> float:
    """How many values a cell has on average; of a dense matrix, one of the first cells."""
    if matrix.form == "dense":
        first = head(matrix, elements=_HEAD)
        return first.nnz / max(1, first.shape[0])
    last = int(matrix.content["indptr"].shape[0]) - 1
    return int(matrix.content["indptr"][last]) / max(1, matrix.cells)


def _dense_blocks(matrix: Matrix, *, elements: int) -> Iterator[tuple[int, sp.csr_matrix]]:
    step = _dense_rows(matrix, elements=elements)
    for start in range(0, matrix.cells, step):
        yield start, sp.csr_matrix(np.asarray(matrix.content[start : start + step]))


def _dense_rows(matrix: Matrix, *, elements: int) -> int:
    """Rows of a block: whole chunks where that fits, so that none is decoded twice."""
    step = max(1, elements // max(1, matrix.genes))
    chunk = int((getattr(matrix.content, "chunks", None) or (1,))[0])
    if chunk * matrix.genes <= 4 * elements:
        return max(chunk, step - step % chunk)
    return step


def _csr_blocks(matrix: Matrix, *, elements: int) -> Iterator[tuple[int, sp.csr_matrix]]:
    # To open an array of HDF5 for each block takes a fiftieth of an ingest.
    group = {name: matrix.content[name] for name in ("data", "indices", "indptr")}
    for first in range(0, matrix.cells, _ROWS):
        stop = min(first + _ROWS, matrix.cells)
        pointers = _pointers(group, first, stop)
        for low, high in _cuts(pointers, elements=elements):
            yield first + low, _csr(group, pointers[low : high + 1], genes=matrix.genes)


def _pointers(group: Any, first: int, stop: int) -> NDArray[np.int64]:
    pointers = np.asarray(group["indptr"][first : stop + 1]).astype(np.int64)
    if len(pointers) != stop - first + 1 or (np.diff(pointers) < 0).any():
        raise OSError(f"pointers {first}-{stop} are damaged")
    return pointers


def _cuts(pointers: NDArray[Any], *, elements: int) -> Iterator[tuple[int, int]]:
    """Runs of rows with at most `elements` values, or one row."""
    low = 0
    while low < len(pointers) - 1:
        high = int(np.searchsorted(pointers, pointers[low] + elements, side="right")) - 1
        high = min(max(high, low + 1), len(pointers) - 1)
        yield low, high
        low = high


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
        raise OSError(f"values {start}-{stop} are missing")
    return data.astype(data.dtype.newbyteorder("="), copy=False), indices


def _indices(group: Any, start: int, stop: int, *, limit: int) -> NDArray[np.integer[Any]]:
    indices = np.asarray(group["indices"][start:stop])
    if len(indices) != stop - start:
        raise OSError(f"values {start}-{stop} are missing")
    if len(indices) and (indices.min() < 0 or indices.max() >= limit):
        raise OSError(f"an index is not below {limit}")
    return indices


def _csc_blocks(
    matrix: Matrix, *, elements: int, folder: Path
) -> Iterator[tuple[int, sp.csr_matrix]]:
    bounds = _row_bounds(matrix, elements=_RUN_BLOCKS * elements)
    _sort_into_runs(matrix, bounds, elements=_RUN_BLOCKS * elements, folder=folder)
    for run, (low, high) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        rows = _run(folder / str(run), matrix, low=low, high=high)
        for first, stop in _cuts(rows.indptr, elements=elements):
            yield low + first, rows[first:stop]


def _row_bounds(matrix: Matrix, *, elements: int) -> NDArray[np.int64]:
    """Where runs of rows with about `elements` values begin, and the end.

    Values are counted for groups of rows, so the counts stay small for any number of cells.
    """
    group = _group(matrix)
    total = int(_pointers(matrix.content, matrix.genes, matrix.genes)[0])
    counts = np.zeros(-(-matrix.cells // group), dtype=np.int64)
    for start in range(0, total, elements):
        stop = min(start + elements, total)
        rows = _indices(matrix.content, start, stop, limit=matrix.cells)
        counts += np.bincount(rows // group, minlength=len(counts))
    ends = np.concatenate([[0], np.cumsum(counts)])
    cuts = [0, *(high * group for _, high in _cuts(ends, elements=elements))]
    return np.minimum(np.array(cuts, dtype=np.int64), matrix.cells)


def _group(matrix: Matrix) -> int:
    """Rows that are counted together."""
    return -(-max(1, matrix.cells) // _GROUPS)


def _sort_into_runs(
    matrix: Matrix, bounds: NDArray[np.int64], *, elements: int, folder: Path
) -> None:
    """Append every value to the file of its run of rows, column after column."""
    ends = _pointers(matrix.content, 0, matrix.genes)
    group = _group(matrix)
    first = np.arange(-(-matrix.cells // group)) * group
    run_of = (np.searchsorted(bounds, first, side="right") - 1).astype(
        np.min_scalar_type(len(bounds))  # 16 bits are sorted many times faster
    )
    for start in range(0, int(ends[-1]), elements):
        stop = min(start + elements, int(ends[-1]))
        data, rows = _values(matrix.content, start, stop, limit=matrix.cells)
        run = run_of[rows // group]
        entries = np.empty(stop - start, dtype=_entry(data.dtype))
        entries["row"], entries["value"] = rows, data
        inside = np.clip(ends, start, stop)
        entries["column"] = np.repeat(np.arange(matrix.genes), inside[1:] - inside[:-1])
        entries = entries[np.argsort(run, kind="stable")]
        counts = np.bincount(run, minlength=len(bounds))
        places = np.concatenate([[0], np.cumsum(counts)])
        for number in np.flatnonzero(counts).tolist():
            with (folder / str(number)).open("ab") as file:
                # Not tofile, whose error on a full disk does not say that it is full.
                file.write(entries[places[number] : places[number + 1]].view("u1").data)


def _entry(values: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([("row", "u4"), ("column", "u4"), ("value", values)])


def _run(path: Path, matrix: Matrix, *, low: int, high: int) -> sp.csr_matrix:
    """Rows low to high; the file is gone afterwards."""
    kind = _entry(np.dtype(matrix.content["data"].dtype).newbyteorder("="))
    shape = (high - low, matrix.genes)
    if not path.exists():
        return sp.csr_matrix(shape, dtype=kind["value"])
    entries = np.fromfile(path, dtype=kind)
    path.unlink()
    rows, columns = (
        (entries[name] - first).astype(np.int32) for name, first in (("row", low), ("column", 0))
    )
    return sp.csr_matrix((entries["value"], (rows, columns)), shape=shape)
