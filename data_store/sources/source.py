"""An open file of cells: what it has, and its rows in bounded blocks.

`formats.known.open_source` opens one.

Errors about a file are raised here, with its name. Values are checked where they are read
(`data_store.store.normalise`).
"""

import errno
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store.disk import columns as cols
from data_store.disk.columns import Block, Column
from data_store.disk.damage import is_told, reason
from data_store.sources.formats import matrices
from data_store.sources.formats.features import told_apart
from data_store.sources.formats.matrices import Matrix
from scdfm.screen.names import aside, listed

RAW = ("raw", "raw/X")  # names of AnnData's .raw; the second also where a layer is called "raw"
BLOCK = 262_144  # bytes that share a checksum in a fingerprint


class Raw(NamedTuple):
    """AnnData's .raw: a matrix of the same cells with genes of its own."""

    var: pd.DataFrame
    matrix: Matrix


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
    files: tuple[Path, ...] = ()  # that it is read from, if they are not the path and all below it
    raw: Callable[[], "Raw"] | None = None  # opens AnnData's .raw, if there is one

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
        """All rows in order as (first row, CSR), at most about `elements` values each.

        Raises:
            OutOfOrderError: Entries in the order of cells are not in it to the end; `in_any_order`
                reads them.
        """
        with self._readable():
            matrix = self.matrices[layer]
            for start, rows in matrices.blocks(matrix, elements=elements, scratch=self.scratch):
                yield start, rows if self.kept is None else rows[:, self.kept]

    def head(self, layer: str, *, elements: int) -> sp.csr_matrix:
        """About the first `elements` values, to see what they are."""
        with self._readable():
            return matrices.head(self.matrices[layer], elements=elements)

    def sample(self, layer: str, *, elements: int) -> sp.csr_matrix:
        """Whole cells with about `elements` values, spread over all cells, to see what they are."""
        with self._readable():
            rows = matrices.sample(self.matrices[layer], elements=elements)
            return rows if self.kept is None else rows[:, self.kept]

    def sampled(self, layer: str, *, elements: int) -> NDArray[np.int64]:
        """The rows of a sample of so many values, in its order."""
        with self._readable():
            return matrices.sampled(self.matrices[layer], elements=elements)

    def is_float16(self, layer: str) -> bool:
        """Whether values are stored with eleven significant bits."""
        return bool(matrices.stored_as(self.matrices[layer]) == np.float16)

    def values_per_cell(self, layer: str) -> float:
        """How many values a cell has on average; of a dense matrix, one of the first cells."""
        with self._readable():
            return matrices.values_per_cell(self.matrices[layer])

    def is_collected(self, layer: str) -> bool:
        """Whether a matrix is not stored row by row, so that its rows are collected on disk."""
        return self.matrices[layer].is_collected

    def close(self) -> None:
        """Close the file."""
        if isinstance(self.root, h5py.File):
            self.root.close()

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn a library's complaint about damaged bytes into one line that names the file."""
        try:
            yield
        except (OSError, RuntimeError, KeyError, SystemError, TypeError, ValueError) as error:
            if is_told(error):
                raise
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise  # the disk that is written to is full; the file is well
            raise ValueError(
                f"expected to read {self.path}, got a truncated or damaged file "
                f"({reason(error)}); copy or download it again"
            ) from error


def with_raw(source: Source, *, layer: str) -> Source:
    """The source with the matrix and the genes of its .raw, if `layer` names that.

    Raises:
        ValueError: It is damaged.
    """
    if source.raw is None or layer in source.layers or layer not in RAW:
        return source
    with source._readable():
        var, matrix = source.raw()
    return replace(source, var=var, matrices={layer: matrix}, kept=None, raw=None)


def named_by(source: Source, column: str) -> Source:
    """The source with the values of a var column as its gene names.

    Of genes with one name, the first keeps it, and others get the name they had added, as in files
    of 10x.

    Raises:
        ValueError: There is no such column, or values are missing.
    """
    if column not in source.var.columns:
        raise ValueError(
            f"expected a var column {column!r}{aside(column, source.var)} in {source.path}, got "
            f"{listed(source.var)}; choose one with --gene-column"
        )
    if (missing := int(source.var[column].isna().sum())) > 0:
        raise ValueError(
            f"expected a gene name for every row of var in {source.path}, got none in {missing} "
            f"rows of column {column!r}; choose another with --gene-column"
        )
    before = source.var.index.astype(str).to_series(index=source.var.index)
    names = told_apart(source.var[column].astype(str), ids=before, name=source.name)
    var = source.var.drop(columns=column)
    # The names that were the index stay, as a column.
    var[str(source.var.index.name or "gene_id")] = source.var.index.astype(str)
    return replace(source, var=var.set_axis(names))


def in_any_order(source: Source) -> Source:
    """The source, read without trust in the order of its entries."""
    read = {name: matrices.in_any_order(matrix) for name, matrix in source.matrices.items()}
    return replace(source, matrices=read)


def fingerprint(path: Path, *, of: Sequence[Path] = ()) -> str:
    """The identity of a source, from all its bytes, without path and date.

    Args:
        path: A file, or a folder that is read with all that is below it.
        of: The files that are read in its place.

    It hashes the checksums of all blocks. This notices an edit in place as fast as reading; a
    hash of all bytes would take a tenth of an ingest.
    """
    digest = hashlib.sha256()
    below = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in of or below:
        # Several files are told apart by their names.
        name = file.relative_to(path if path.is_dir() else path.parent).as_posix()
        name = name if of or path.is_dir() else ""
        digest.update(f"{name} {file.stat().st_size}\n".encode())
        with file.open("rb") as stream:
            while block := stream.read(BLOCK):
                digest.update(google_crc32c.value(block).to_bytes(4, "little"))
    return digest.hexdigest()


def require_distinct_genes(source: Source) -> None:
    """Refuse two genes of the same name.

    Raises:
        ValueError: Names the first, and a column of var in which all differ.
    """
    genes = source.var.index
    twice = genes[genes.duplicated()].unique()
    if len(twice):
        columns = source.var.select_dtypes(["object", "string", "category"])
        named = [x for x in columns if columns[x].notna().all() and columns[x].is_unique]
        remedy = f"choose a column with --gene-column ({listed(named)}), or " if named else ""
        raise ValueError(
            f"expected unique gene names in {source.path}, got {len(twice)} more than once, "
            f"first {str(twice[0])!r}; {remedy}call var_names_make_unique() and write the file "
            "again"
        )
