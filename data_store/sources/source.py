"""Files of cells, opened without reading them: AnnData (h5ad, zarr) and 10x, rows in bounded blocks.

Everything that is wrong with a file is said here, naming it. Values are checked where they are
read (`data_store.store.normalise`).
"""

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import google_crc32c
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from anndata.io import read_elem
from numpy.typing import NDArray

from data_store.disk import columns as cols
from data_store.disk.columns import Block, Column
from data_store.sources.formats import matrices, tenx
from data_store.sources.formats.matrices import Matrix
from scdfm.screen.names import aside, listed

_BLOCK = 262_144  # bytes that share a checksum in a fingerprint


@dataclass(frozen=True)
class Source:
    """An open file of cells: what it has, and its rows on demand."""

    path: Path
    root: Any  # h5py.File or zarr.Group
    names: Any  # the array with the cell names
    columns: dict[str, Column]
    homes: Mapping[str, Any]  # the group that holds each column
    var: pd.DataFrame
    cells: int
    matrices: Mapping[str, Matrix]
    kept: NDArray[np.int64] | None = None  # columns of the matrices that are genes; None: all
    suffix: str = ""  # that makes the cell names distinct among several sources
    scratch: Path | None = None  # a folder for what memory cannot hold

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def genes(self) -> tuple[str, ...]:
        return tuple(map(str, self.var.index))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the matrices, "X" first when there is one."""
        return tuple(self.matrices)

    def cell_names(self, start: int, stop: int) -> NDArray[np.bytes_]:
        """Names of cells as UTF-8 bytes."""
        with self._readable():
            names = cols.plain(self.names[start:stop])
        names = names if names.dtype.kind == "S" else names.astype("S")
        return np.char.add(names, self.suffix.encode()) if self.suffix else names

    def obs_block(self, columns: list[Column], *, start: int, stop: int) -> Block:
        """Rows of obs, cell names under "_index" included."""
        block: Block = {cols.INDEX: self.cell_names(start, stop)}
        with self._readable():
            for column in columns:
                home = self.homes[column.name]
                block |= cols.read_block(home, [column], start=start, stop=stop)
        return block

    def blocks(self, layer: str, *, elements: int) -> Iterator[tuple[int, sp.csr_matrix]]:
        """All rows in order as (first row, CSR), at most about `elements` values each."""
        with self._readable():
            matrix = self.matrices[layer]
            for start, rows in matrices.blocks(matrix, elements=elements, scratch=self.scratch):
                yield start, rows if self.kept is None else rows[:, self.kept]

    def head(self, layer: str, *, elements: int) -> sp.csr_matrix:
        """About the first `elements` values, to see what they are."""
        with self._readable():
            return matrices.head(self.matrices[layer], elements=elements)

    def values_per_cell(self, layer: str) -> float:
        """How many values a cell has on average; of a dense matrix, one of the first cells."""
        with self._readable():
            return matrices.values_per_cell(self.matrices[layer])

    def is_column_major(self, layer: str) -> bool:
        """Rows of such a matrix are found by way of the disk."""
        return self.matrices[layer].form == "csc"

    def close(self) -> None:
        """Close the file."""
        if isinstance(self.root, h5py.File):
            self.root.close()

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn a library's complaint about damaged bytes into one line that names the file."""
        try:
            yield
        except (OSError, RuntimeError, KeyError) as error:
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise  # the disk that is written to is full; the file is well
            raise ValueError(
                f"expected to read {self.path}, it is truncated or damaged "
                f"({_one_line(error)}); copy or download it again"
            ) from None


def open_source(path: Path) -> Source:
    """Open an .h5ad file, an anndata-zarr directory or a 10x .h5 file.

    Args:
        path: Of the file; its content tells the kind, not its ending.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It is none of them, or damaged, or may not be read, or gene names repeat.
    """
    if not path.exists():
        raise FileNotFoundError(f"expected cells at {path}, found no such file; check the path")
    if not os.access(path, os.R_OK):
        raise ValueError(
            f"expected to read {path}, its permissions forbid it; allow it with chmod u+r"
        )
    root = _open_zarr(path) if path.is_dir() else _open_h5(path)
    try:
        content = tenx.matrix_group(root, path=path) if isinstance(root, h5py.File) else None
        return _anndata(path, root) if content is None else _tenx(path, root, content)
    except (OSError, RuntimeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"expected AnnData in {path}, could not read it ({_one_line(error)}); "
            "write it again with a current anndata"
        ) from None


def named_by(source: Source, column: str) -> Source:
    """The source with the values of a var column as its gene names.

    Raises:
        ValueError: There is no such column, or its values are missing or repeat.
    """
    if column not in source.var.columns:
        raise ValueError(
            f"expected a var column {column!r}{aside(column, source.var)} in {source.path}, it has "
            f"{listed(source.var)}; choose one with --gene-column"
        )
    if (missing := int(source.var[column].isna().sum())) > 0:
        raise ValueError(
            f"expected a gene name for every row of var in {source.path}, {missing} in column "
            f"{column!r} are missing; choose another with --gene-column"
        )
    names = pd.Index(source.var[column].astype(str).to_numpy(dtype=object))
    _refuse_duplicates(names, path=source.path)
    var = source.var.drop(columns=column)
    # The names that were the index stay, as a column.
    var[str(source.var.index.name or "gene_id")] = source.var.index.astype(str)
    return replace(source, var=var.set_axis(names))


def fingerprint(path: Path) -> str:
    """The identity of a source: of all its bytes; no path, no date.

    A checksum of every block is hashed: an edit in place is seen at the speed of reading, where
    a hash of all bytes would take a tenth of an ingest.
    """
    digest = hashlib.sha256()
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in files:
        name = file.relative_to(path).as_posix() if path.is_dir() else ""
        digest.update(f"{name} {file.stat().st_size}\n".encode())
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(google_crc32c.value(block).to_bytes(4, "little"))
    return digest.hexdigest()


def _open_h5(path: Path) -> h5py.File:
    try:
        return h5py.File(path, mode="r")
    except OSError as error:
        what = "not an HDF5 file"
        if path.stat().st_size == 0:
            what = "empty"
        elif "truncated" in str(error):
            what = "truncated"
        raise ValueError(
            f"expected an .h5ad file, an anndata .zarr directory or a 10x .h5 file, got {path}, "
            f"which is {what}; check or download it again"
        ) from None


def _open_zarr(path: Path) -> zarr.Group:
    try:
        return zarr.open_group(path, mode="r")
    except (FileNotFoundError, ValueError, KeyError):
        raise ValueError(
            f"expected an .h5ad file, an anndata .zarr directory or a 10x .h5 file, got the "
            f"directory {path} without a zarr group; name the file inside it"
        ) from None


def _anndata(path: Path, root: Any) -> Source:
    for part in ("obs", "var"):
        if part not in root:
            raise ValueError(
                f"expected AnnData with obs and var, or a 10x matrix, in {path}, found no {part!r} "
                f"among {', '.join(sorted(root)) or 'nothing'}; write it with anndata"
            )
    var = _read(root["var"])
    obs = root["obs"]
    names = _column_names(obs)
    if names is None or any(cols.describe(obs, name) is None for name in names):
        obs = cols.in_memory(_readable_columns(_read(root["obs"])))
        names = _column_names(obs)
    assert names is not None
    index = obs[str(obs.attrs["_index"])]
    columns = {name: column for name in names if (column := cols.describe(obs, name)) is not None}
    _refuse_duplicates(var.index, path=path)
    cell_names = index["values"] if hasattr(index, "keys") else index
    size = {"cells": int(cell_names.shape[0]), "genes": len(var)}
    _refuse_ragged(obs, columns, cells=size["cells"])
    layers = {"X": root["X"]} if "X" in root else {}
    layers |= {name: root["layers"][name] for name in sorted(root.get("layers", ()))}
    return Source(
        path=path,
        root=root,
        names=cell_names,
        columns=columns,
        homes=dict.fromkeys(columns, obs),
        var=var,
        cells=size["cells"],
        matrices={name: matrices.of_anndata(layer, **size) for name, layer in layers.items()},
    )


def _tenx(path: Path, root: h5py.File, group: h5py.Group) -> Source:
    features = tenx.read_features(group, path=path)
    matrix = tenx.matrix(group, path=path)
    return Source(
        path=path,
        root=root,
        names=group["barcodes"],
        columns={},
        homes={},
        var=features.var,
        cells=matrix.cells,
        matrices={"X": matrix},
        kept=features.kept,
    )


def _read(group: Any) -> pd.DataFrame:
    try:
        table: pd.DataFrame = read_elem(group)
    # What anndata raises for an encoding that it does not know has no public name.
    except Exception as error:  # noqa: BLE001
        raise OSError(_one_line(error)) from None
    return table


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


def _refuse_ragged(obs: Any, columns: Mapping[str, Column], *, cells: int) -> None:
    for name, column in columns.items():
        for part in column.dtypes:
            length = int((obs[name][part] if part else obs[name]).shape[0])
            if length != cells:
                raise OSError(f"obs column {name!r} has {length} values for {cells} cells")


def _refuse_duplicates(genes: pd.Index, *, path: Path) -> None:
    twice = genes[genes.duplicated()].unique()
    if len(twice):
        raise ValueError(
            f"expected unique gene names in {path}, {len(twice)} occur more than once, first "
            f"{str(twice[0])!r}; call var_names_make_unique() and write the file again"
        )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
