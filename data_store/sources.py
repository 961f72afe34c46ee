"""Files of cells, opened without reading them: h5ad and anndata-zarr, rows in bounded blocks.

Everything that is wrong with a file is said here, naming it. Values are checked where they are
read (`data_store.values`).
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from anndata.io import read_elem
from numpy.typing import NDArray

from data_store import columns as cols
from data_store.columns import Block, Column

_ROWS = 16_384  # rows whose pointers are read at once
_SAMPLES, _SAMPLE_BYTES = 64, 65_536


@dataclass
class Source:
    """An open file of cells: what it has, and its rows on demand."""

    path: Path
    root: Any  # h5py.File or zarr.Group
    obs: Any  # the group that holds the columns
    columns: dict[str, Column]
    index: str  # the column with the cell names
    var: pd.DataFrame
    cells: int
    layers: tuple[str, ...]  # "X" first when there is one
    _loaded: dict[str, sp.csr_matrix] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def genes(self) -> tuple[str, ...]:
        return tuple(map(str, self.var.index))

    def obs_block(self, columns: list[Column], *, start: int, stop: int) -> Block:
        """Rows of obs, cell names under "_index" included."""
        with self._readable():
            block = cols.read_block(self.obs, columns, start=start, stop=stop)
            index = cols.describe(self.obs, self.index)
            assert index is not None
            name = cols.read_block(self.obs, [index], start=start, stop=stop)[self.index]
            block[cols.INDEX] = name if name.dtype.kind == "S" else name.astype("S")
            return block

    def blocks(self, layer: str, *, elements: int) -> Iterator[tuple[int, sp.csr_matrix]]:
        """All rows in order as (first row, CSR), at most about `elements` values each."""
        with self._readable():
            matrix = self._matrix(layer)
            kind = _kind(matrix)
        if kind == "array":
            step = max(1, elements // max(1, len(self.var)))
            for start in range(0, self.cells, step):
                with self._readable():
                    yield start, sp.csr_matrix(np.asarray(matrix[start : start + step]))
        elif kind == "csc_matrix":
            whole = self._whole(layer, matrix)
            for start in range(0, self.cells, _ROWS):
                yield start, whole[start : start + _ROWS]
        else:
            yield from self._csr_blocks(matrix, elements=elements)

    def is_column_major(self, layer: str) -> bool:
        """Such a matrix can only be read whole."""
        return _kind(self._matrix(layer)) == "csc_matrix"

    def close(self) -> None:
        """Close the file."""
        if isinstance(self.root, h5py.File):
            self.root.close()

    def _matrix(self, layer: str) -> Any:
        return self.root["X"] if layer == "X" else self.root["layers"][layer]

    def _whole(self, layer: str, matrix: Any) -> sp.csr_matrix:
        if layer not in self._loaded:
            with self._readable():
                self._loaded[layer] = sp.csr_matrix(read_elem(matrix))
        return self._loaded[layer]

    def _csr_blocks(self, matrix: Any, *, elements: int) -> Iterator[tuple[int, sp.csr_matrix]]:
        genes = len(self.var)
        for first in range(0, self.cells, _ROWS):
            with self._readable():
                stop = min(first + _ROWS, self.cells)
                pointers = np.asarray(matrix["indptr"][first : stop + 1]).astype(np.int64)
                if len(pointers) != stop - first + 1 or (np.diff(pointers) < 0).any():
                    raise OSError(f"row pointers {first}-{stop} are damaged")
            for low, high in _cuts(pointers, elements=elements):
                with self._readable():
                    yield first + low, _csr(matrix, pointers[low : high + 1], genes=genes)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn a library's complaint about damaged bytes into one line that names the file."""
        try:
            yield
        except (OSError, RuntimeError, KeyError) as error:
            raise ValueError(
                f"expected to read {self.path}, it is truncated or damaged "
                f"({_one_line(error)}); copy or download it again"
            ) from None


def open_source(path: Path) -> Source:
    """Open an h5ad file or an anndata-zarr directory.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It is neither, or it is damaged, or gene names are not unique.
    """
    if not path.exists():
        raise FileNotFoundError(f"expected cells at {path}, found no such file; check the path")
    root = _open_zarr(path) if path.is_dir() else _open_h5(path)
    try:
        return _describe(path, root)
    except (OSError, RuntimeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"expected AnnData in {path}, could not read it ({_one_line(error)}); "
            "write it again with a current anndata"
        ) from None


def fingerprint(path: Path) -> str:
    """The identity of a source: sizes and evenly spaced samples of its bytes; no path, no date."""
    digest = hashlib.sha256()
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    samples = max(1, _SAMPLES // len(files))
    for file in files:
        size = file.stat().st_size
        name = file.relative_to(path).as_posix() if path.is_dir() else ""
        digest.update(f"{name} {size}\n".encode())
        with file.open("rb") as stream:
            for place in np.linspace(0, max(0, size - _SAMPLE_BYTES), samples).astype(int):
                stream.seek(int(place))
                digest.update(stream.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def _open_h5(path: Path) -> h5py.File:
    try:
        return h5py.File(path, mode="r")
    except OSError as error:
        what = "truncated" if "truncated" in str(error) else "not an HDF5 file"
        raise ValueError(
            f"expected an .h5ad file or an anndata .zarr directory, got {path}, which is {what}; "
            "check or download it again"
        ) from None


def _open_zarr(path: Path) -> zarr.Group:
    try:
        return zarr.open_group(path, mode="r")
    except (FileNotFoundError, ValueError, KeyError):
        raise ValueError(
            f"expected an .h5ad file or an anndata .zarr directory, got the directory {path} "
            "without a zarr group; name the file inside it"
        ) from None


def _describe(path: Path, root: Any) -> Source:
    for part in ("obs", "var"):
        if part not in root:
            raise ValueError(
                f"expected AnnData with obs and var in {path}, found no {part!r} among "
                f"{', '.join(sorted(root)) or 'nothing'}; write it with anndata"
            )
    var = read_elem(root["var"])
    obs = root["obs"]
    names = _column_names(obs)
    if names is None or any(cols.describe(obs, name) is None for name in names):
        obs = cols.in_memory(_readable_columns(read_elem(root["obs"])))
        names = _column_names(obs)
    assert names is not None
    index = str(obs.attrs["_index"])
    columns = {name: cols.describe(obs, name) for name in names}
    layers = (
        *(["X"] if "X" in root else []),
        *(sorted(root["layers"]) if "layers" in root else []),
    )
    _refuse_duplicates(var.index, path=path)
    return Source(
        path=path,
        root=root,
        obs=obs,
        columns={name: column for name, column in columns.items() if column is not None},
        index=index,
        var=var,
        cells=int(obs[index].shape[0]),
        layers=layers,
    )


def _column_names(obs: Any) -> list[str] | None:
    """Column names of an obs group in today's encoding; None for older ones."""
    if str(obs.attrs.get("encoding-version", "")) != "0.2.0" or not hasattr(obs, "keys"):
        return None
    return [str(name) for name in np.asarray(obs.attrs["column-order"]).tolist()]


def _readable_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Older files: what pandas holds as objects becomes text."""
    table = table.rename(columns=str)
    for name in table.select_dtypes(object).columns:
        table[name] = table[name].astype("category")
    table.index = table.index.astype(str)
    return table


def _refuse_duplicates(genes: pd.Index, *, path: Path) -> None:
    twice = genes[genes.duplicated()].unique()
    if len(twice):
        raise ValueError(
            f"expected unique gene names in {path}, {len(twice)} occur more than once, first "
            f"{str(twice[0])!r}; call var_names_make_unique() and write the file again"
        )


def _kind(matrix: Any) -> str:
    kind = str(matrix.attrs.get("encoding-type", "array"))
    if kind not in ("csr_matrix", "csc_matrix", "array"):
        raise OSError(f"a matrix encoded as {kind!r} is neither CSR, CSC nor dense")
    return kind


def _cuts(pointers: NDArray[np.int64], *, elements: int) -> Iterator[tuple[int, int]]:
    """Runs of rows with at most `elements` values, or one row."""
    low = 0
    while low < len(pointers) - 1:
        high = int(np.searchsorted(pointers, pointers[low] + elements, side="right")) - 1
        high = min(max(high, low + 1), len(pointers) - 1)
        yield low, high
        low = high


def _csr(matrix: Any, pointers: NDArray[np.int64], *, genes: int) -> sp.csr_matrix:
    start, stop = int(pointers[0]), int(pointers[-1])
    data = np.asarray(matrix["data"][start:stop])
    indices = np.asarray(matrix["indices"][start:stop])
    if len(data) != stop - start or len(indices) != stop - start:
        raise OSError(f"values {start}-{stop} are missing")
    if len(indices) and (indices.min() < 0 or indices.max() >= genes):
        raise OSError(f"a column index is not below the {genes} genes")
    # scipy is many times slower when indptr and indices differ in type.
    rows = (pointers - start).astype(np.int32)
    return sp.csr_matrix(
        (data, indices.astype(np.int32, copy=False), rows), shape=(len(rows) - 1, genes), copy=False
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
