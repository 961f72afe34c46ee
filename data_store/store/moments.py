"""Sums per unit and gene, made while cells are written; runs choose genes and graphs from them.

They are added up in float64 and kept as float32, to about seven digits: further digits are noise,
which cannot be compressed. "log" is expression (log1p per 10k), "linear" the same before the
logarithm (per 10k), which scanpy's variable-gene flavour `seurat` needs.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import scipy.sparse as sp
import zarr
from numpy.typing import NDArray

from data_store.disk.arrays import Arrays, create, require_full
from data_store.disk.csr import ColumnSums, row_blocks, rows_of
from data_store.store import normalise

PRECISION = 1e-7  # relative: what is stored is so near to the sums
SumName = Literal["total", "linear_total", "linear_squares"]
SUMS: tuple[SumName, ...] = get_args(SumName)
_CHUNK_BYTES = 2_000_000
_CHUNKS_AT_ONCE = 8  # read together, since a network answers slowly


class Moments:
    """The sums of a store's units, read on demand: all at once may be gigabytes.

    `SumName` says of what: "total" of log values, "linear_total" of values per 10k and
    "linear_squares" of their squares; "nonzero" is in how many cells a gene is seen.
    """

    def __init__(self, group: Any, *, readable: Callable[[], AbstractContextManager[None]]) -> None:
        """Sums in an open zarr group; reads happen within `readable`, which explains damage."""
        self._group, self._readable = group, readable
        self._arrays: Arrays = {}  # opened once: a screen may have thousands of units
        self._held: dict[
            str, tuple[int, NDArray[Any]]
        ] = {}  # the chunk read last, by its first row

    @cached_property
    def cells(self) -> NDArray[np.int64]:
        """How many cells each unit has, (units,)."""
        return self._read("cells", 0, None)

    def row(self, name: SumName, unit: int) -> NDArray[np.float64]:
        """The sums of one unit, (genes,)."""
        return self._row(name, unit).astype(np.float64)

    def nonzero(self, unit: int) -> NDArray[np.int64]:
        """In how many cells of a unit each gene is seen, (genes,)."""
        return self._row("nonzero", unit).astype(np.int64)

    def sum_of(self, name: SumName, units: Iterable[int]) -> NDArray[np.float64]:
        """The sums of several units together, (genes,)."""
        return self._added(name, units, dtype=np.float64)

    def nonzero_of(self, units: Iterable[int]) -> NDArray[np.int64]:
        """In how many cells of several units each gene is seen, (genes,)."""
        return self._added("nonzero", units, dtype=np.int64)

    def _added(self, name: str, units: Iterable[int], *, dtype: Any) -> NDArray[Any]:
        array = self._array(name)
        step = array.chunks[0] * _CHUNKS_AT_ONCE
        result = np.zeros(array.shape[1], dtype=dtype)
        first, rows = 0, np.empty((0, 0))
        for unit in units:
            if not first <= unit < first + len(rows):
                first = unit // step * step
                rows = self._read(name, first, first + step)
            # Row by row, so that the sum depends on no block.
            result += rows[unit - first]
        return result

    def _row(self, name: str, unit: int) -> NDArray[Any]:
        step = self._array(name).chunks[0]
        wanted = unit // step * step
        first, rows = self._held.get(name, (-1, np.empty(0)))
        if first != wanted:
            rows = self._read(name, wanted, wanted + step)
            self._held[name] = wanted, rows
        row: NDArray[Any] = rows[unit - wanted]
        return row

    def _read(self, name: str, start: int, stop: int | None) -> NDArray[Any]:
        # Not by zarrs, which does not check the CRC-32C of the last, partly used chunk.
        with self._readable():
            return np.asarray(self._array(name)[start:stop])

    def _array(self, name: str) -> Any:
        if name not in self._arrays:
            self._arrays[name] = self._group[name]
        return self._arrays[name]


class UnitSums:
    """The running sums of one unit."""

    BYTES = 8 * (len(SUMS) + 1)  # per gene

    def __init__(self, genes: int) -> None:
        self.cells = 0
        self.sums = np.zeros((len(SUMS), genes))
        self.nonzero = np.zeros(genes, dtype=np.int64)

    def add(
        self, rows: sp.csr_matrix, *, library: NDArray[np.float64], normalised: bool = False
    ) -> None:
        """Add cells, (cells, genes): counts, or log values when `normalised`."""
        for low, high in row_blocks(rows):
            part = rows_of(rows, low, high)
            self._add(part, library=library[low:high], normalised=normalised)

    def merge(self, other: Self) -> None:
        """Add the sums of other cells."""
        self.cells += other.cells
        self.sums += other.sums
        self.nonzero += other.nonzero

    def _add(self, rows: sp.csr_matrix, *, library: NDArray[np.float64], normalised: bool) -> None:
        columns = ColumnSums(rows)
        values = rows.data.astype(np.float64)
        if normalised:
            self.sums[0] += columns.of(values)
            values, scale = np.expm1(values), np.ones(len(library))
        else:
            scale = normalise.scale(library)
            # Exactly as the reader gives them.
            log = normalise.expression(
                rows.data, scale=scale.astype(np.float32), repeats=np.diff(rows.indptr)
            )
            self.sums[0] += columns.of(log.astype(np.float64))
        # Per 10k by a weight for each row: faster than a factor for each value.
        self.sums[1] += columns.of(values, weights=scale)
        self.sums[2] += columns.of(np.square(values, out=values), weights=np.square(scale))
        self.nonzero += columns.count()
        self.cells += rows.shape[0]


class MomentsWriter:
    """Writes the sums of units in order, holding a few units at a time."""

    def __init__(self, path: Path, *, units: int, genes: int) -> None:
        group = zarr.open_group(path, mode="w", zarr_format=3)
        self._chunk = max(1, min(units, _CHUNK_BYTES // (4 * max(1, genes))))
        shape, chunks = (units, genes), (self._chunk, max(1, genes))
        self._arrays = {
            name: create(group, name, shape=shape, dtype=dtype, chunks=chunks, shards=None)
            for name, dtype in (*((name, "f4") for name in SUMS), ("nonzero", "u4"))
        }
        self._cells = create(
            group, "cells", shape=(units,), dtype="i8", chunks=(max(1, units),), shards=None
        )
        self._counts = np.zeros(units, dtype=np.int64)
        self._waiting: list[UnitSums] = []
        self._written = 0
        self._unit = -1

    def add(self, unit: int, sums: UnitSums) -> None:
        """Add sums over cells of a unit; units come in order."""
        if unit == self._unit:
            self._waiting[-1].merge(sums)
            return
        assert unit == self._unit + 1, "units come in order"
        if len(self._waiting) == self._chunk:
            self._flush()
        self._waiting.append(sums)
        self._unit = unit

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        require_full(self._cells, written=self._written)
        self._cells[:] = self._counts

    def _flush(self) -> None:
        if not self._waiting:
            return
        place = slice(self._written, self._written + len(self._waiting))
        for k, name in enumerate(SUMS):
            self._arrays[name][place] = np.stack(
                [unit.sums[k].astype(np.float32) for unit in self._waiting]
            )
        self._arrays["nonzero"][place] = np.stack([unit.nonzero for unit in self._waiting])
        self._counts[place] = [unit.cells for unit in self._waiting]
        self._written += len(self._waiting)
        self._waiting = []
