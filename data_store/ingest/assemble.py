"""The files of a store, written in row order: cells.zarr, conditions.parquet, moments.zarr."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
import zarr
from numpy.typing import NDArray

from data_store.disk.arrays import Appender, create, shard_length
from data_store.disk.columns import Block, Column, FrameWriter, write_table
from data_store.disk.workers import Workers
from data_store.ingest.layout import Layout
from data_store.store.moments import MomentsWriter, UnitSums
from data_store.store.schema import CELLS, CONDITIONS, MOMENTS
from scdfm.screen import conditions

_CHUNK_ROWS = 64  # mean rows in a chunk at most: a batch reads little in vain,
_CHUNK_VALUES = 12_288  # and values, for the same reason; smaller ones decode more slowly
_REMOTE_CHUNK_ROWS = 256  # a network takes as long for more
_SHARD_ROWS = 8_192  # mean rows in a file
_REMOTE_SHARD_ROWS = 32_768
_POINTER_CHUNK = 2_048  # rows
_POINTER_SHARD = 128  # chunks


class Cells(NamedTuple):
    """Some cells in the order of a store, and the sums of each unit's cells."""

    matrix: sp.csr_matrix
    obs: Block
    sums: dict[int, UnitSums]  # by unit, rising


class Writer:
    """Takes the cells of a store in order, unit after unit."""

    def __init__(
        self,
        folder: Path,
        *,
        columns: Sequence[Column],
        var: pd.DataFrame,
        layout: Layout,
        nonzero: int,
        largest: float,
        normalised: bool,
        remote: bool,
        workers: Workers,
    ) -> None:
        self.layout, self.normalised = layout, normalised
        self.cells, self.genes, self.nonzero = int(layout.cells.sum()), len(var), nonzero
        self._folder = folder
        root = _anndata_group(folder / CELLS, var=var)
        self._matrix = _MatrixWriter(
            root,
            shape=(self.cells, self.genes),
            nonzero=nonzero,
            dtype=np.float32 if normalised else np.uint16 if largest < 65_536 else np.uint32,
            remote=remote,
            workers=workers,
        )
        self._obs = FrameWriter(root, "obs", columns=columns, rows=self.cells)
        self._moments = MomentsWriter(folder / MOMENTS, units=len(layout.units), genes=self.genes)
        self._unit_nonzero = np.zeros(len(layout.units), dtype=np.int64)
        self._workers = workers

    def append(self, cells: Cells) -> None:
        """Add cells after those that came before."""
        for unit, sums in cells.sums.items():
            self._unit_nonzero[unit] += sums.nonzero.sum()
            self._moments.add(unit, sums)
        self._matrix.append(cells.matrix)
        self._obs.append(cells.obs)

    def close(self) -> None:
        """Write what is left, and the index."""
        self._matrix.close()
        self._obs.close()
        self._workers.wait()
        self._moments.close()
        _write_conditions(self._folder / CONDITIONS, self.layout, nonzero=self._unit_nonzero)


class _MatrixWriter:
    """Writes CSR in row order."""

    def __init__(
        self,
        root: zarr.Group,
        *,
        shape: tuple[int, int],
        nonzero: int,
        dtype: Any,
        remote: bool,
        workers: Workers,
    ) -> None:
        group = root.create_group("X")
        group.attrs.update(
            {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": list(shape)}
        )
        chunk, shard = _lengths(nonzero, cells=shape[0], remote=remote)
        self._data, self._indices = (
            Appender(
                create(group, name, shape=(nonzero,), dtype=kind, chunks=(chunk,), shards=(shard,)),
                workers=workers,
            )
            for name, kind in (("data", dtype), ("indices", np.int32))
        )
        rows = min(_POINTER_CHUNK, shape[0] + 1)
        self._indptr = Appender(
            create(
                group,
                "indptr",
                shape=(shape[0] + 1,),
                # The same as indices where it can be: scipy is slow when they differ.
                dtype=np.int32 if nonzero < 2**31 else np.int64,
                chunks=(rows,),
                shards=(shard_length(shape[0] + 1, chunk=rows, chunks=_POINTER_SHARD),),
            )
        )
        self._dtype = dtype
        self._indptr.append(np.zeros(1, dtype=np.int64))
        self._written = 0

    def append(self, matrix: sp.csr_matrix) -> None:
        self._data.append(matrix.data.astype(self._dtype, copy=False))
        self._indices.append(matrix.indices)
        self._indptr.append(matrix.indptr[1:].astype(np.int64) + self._written)
        self._written += matrix.nnz

    def close(self) -> None:
        for part in (self._data, self._indices, self._indptr):
            part.close()


def _lengths(nonzero: int, *, cells: int, remote: bool) -> tuple[int, int]:
    """Values in a chunk and in a shard."""
    mean = max(1, nonzero) / max(1, cells)
    if remote:
        values, rows = _REMOTE_CHUNK_ROWS * mean, _REMOTE_SHARD_ROWS
    else:
        values, rows = min(_CHUNK_ROWS * mean, _CHUNK_VALUES), _SHARD_ROWS
    # One chunk for a tiny store; whole kilobytes, so that shards of all sizes are aligned.
    chunk = 1024 * ceil(values / 1024)
    return chunk, shard_length(nonzero, chunk=chunk, chunks=round(rows * mean / chunk))


def _anndata_group(path: Path, *, var: pd.DataFrame) -> zarr.Group:
    """An AnnData without X and obs."""
    root = zarr.open_group(path, mode="w", zarr_format=3)
    root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    for name in ("layers", "obsm", "obsp", "varm", "varp", "uns"):
        root.create_group(name).attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
    write_table(root, "var", var)
    return root


def _write_conditions(path: Path, layout: Layout, *, nonzero: NDArray[np.int64]) -> None:
    stops, values = np.cumsum(layout.cells), np.cumsum(nonzero)
    table = pa.table(
        {
            "condition": [conditions.name(tokens) for _, tokens in layout.units],
            "label": [layout.labels[tokens] for _, tokens in layout.units],
            "tokens": pa.array([list(t) for _, t in layout.units], type=pa.list_(pa.string())),
            "context": [context for context, _ in layout.units],
            "row_start": stops - layout.cells,
            "row_stop": stops,
            "nonzero_start": values - nonzero,
            "nonzero_stop": values,
            "is_control": [not tokens for _, tokens in layout.units],
        }
    )
    pq.write_table(table, path)
