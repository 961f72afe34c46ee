"""Sums per unit and gene, made while cells are written: what runs choose genes and graphs from.

Kept to about nine digits: the last bits of a double are noise and make half of the file.
"log" is expression (log1p per 10k), "linear" the same before the logarithm (per 10k), which
scanpy's variable-gene flavour `seurat` needs. All sums are float64 over the unit's cells.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import zarr
from numpy.typing import NDArray

from data_store import normalise
from data_store.arrays import create

_SUMS = ("total", "squares", "linear_total", "linear_squares")
_UNITS = 16  # units per chunk
_VALUES = 500_000  # taken at once: their doubles stay in the processor's cache, nearly


class Moments(NamedTuple):
    """Sums over the cells of each unit."""

    cells: NDArray[np.int64]  # (units,)
    total: NDArray[np.float64]  # (units, genes), of log values
    squares: NDArray[np.float64]  # (units, genes), of squared log values
    linear_total: NDArray[np.float64]  # (units, genes), of values per 10k
    linear_squares: NDArray[np.float64]  # (units, genes), of their squares
    nonzero: NDArray[np.int64]  # (units, genes), cells in which the gene is seen


class UnitSums:
    """The running sums of one unit."""

    def __init__(self, genes: int) -> None:
        self.cells = 0
        self.sums = np.zeros((len(_SUMS), genes))
        self.nonzero = np.zeros(genes, dtype=np.int64)

    def add(
        self, rows: sp.csr_matrix, *, library: NDArray[np.float64], normalised: bool = False
    ) -> None:
        """Add cells, (cells, genes): counts, or log values when `normalised`."""
        step = max(1, _VALUES * rows.shape[0] // max(1, rows.nnz))
        for low in range(0, rows.shape[0], step):
            part = slice(low, low + step)
            self._add(rows[part], library=library[part], normalised=normalised)

    def _add(self, rows: sp.csr_matrix, *, library: NDArray[np.float64], normalised: bool) -> None:
        log, linear = _values(rows, library=library, normalised=normalised)
        one = np.ones(rows.shape[0])
        for k, values in enumerate((log, log * log, linear, linear * linear)):
            self.sums[k] += (
                sp.csr_matrix((values, rows.indices, rows.indptr), shape=rows.shape).T @ one
            )
        self.nonzero += np.bincount(rows.indices, minlength=rows.shape[1])
        self.cells += rows.shape[0]


class MomentsWriter:
    """Writes the sums of units in order, holding a few units at a time."""

    def __init__(self, path: Path, *, units: int, genes: int, normalised: bool) -> None:
        group = zarr.open_group(path, mode="w", zarr_format=3)
        chunks = (max(1, min(_UNITS, units)), max(1, genes))
        shape = (units, genes)
        self._arrays = {
            **{name: create(group, name, shape=shape, dtype="f8", chunks=chunks, shards=None)
               for name in _SUMS},
            "nonzero": create(group, "nonzero", shape=shape, dtype="u4", chunks=chunks, shards=None),
        }  # fmt: skip
        self._cells = create(
            group, "cells", shape=(units,), dtype="i8", chunks=(max(1, units),), shards=None
        )
        self._counts = np.zeros(units, dtype=np.int64)
        self._genes, self._normalised = genes, normalised
        self._waiting: list[UnitSums] = []
        self._written = 0
        self._unit = -1

    def add(self, unit: int, rows: sp.csr_matrix, *, library: NDArray[np.float64]) -> None:
        """Add cells of a unit; units come in order."""
        if unit != self._unit:
            assert unit == self._unit + 1, "units come in order"
            if len(self._waiting) == _UNITS:
                self._flush()
            self._waiting.append(UnitSums(self._genes))
            self._unit = unit
        self._waiting[-1].add(rows, library=library, normalised=self._normalised)

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._cells[:] = self._counts

    def _flush(self) -> None:
        if not self._waiting:
            return
        place = slice(self._written, self._written + len(self._waiting))
        for k, name in enumerate(_SUMS):
            self._arrays[name][place] = rounded(np.stack([unit.sums[k] for unit in self._waiting]))
        self._arrays["nonzero"][place] = np.stack([unit.nonzero for unit in self._waiting])
        self._counts[place] = [unit.cells for unit in self._waiting]
        self._written += len(self._waiting)
        self._waiting = []


def read(group: Any) -> Moments:
    """All moments of a store: its path, or the open zarr group."""
    # Not by zarrs, which does not check the CRC-32C of the last, partly used chunk.
    group = zarr.open_group(group, mode="r") if isinstance(group, Path) else group
    arrays = {name: np.asarray(group[name][...]) for name in Moments._fields}
    arrays["nonzero"] = arrays["nonzero"].astype(np.int64)
    return Moments(**arrays)


def rounded(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums with the mantissa rounded to 28 of its 52 bits."""
    half, mask = np.uint64(1 << 23), np.uint64(0xFFFF_FFFF_FF00_0000)
    bits = (np.ascontiguousarray(sums).view(np.uint64) + half) & mask
    return bits.view(np.float64)


def _values(
    rows: sp.csr_matrix, *, library: NDArray[np.float64], normalised: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log values exactly as the reader gives them, and values per 10k."""
    if normalised:
        values = rows.data.astype(np.float64)
        return values, np.expm1(values)
    repeats = np.diff(rows.indptr)
    scale = normalise.scale(library)
    log = normalise.expression(rows.data, scale=scale.astype(np.float32), repeats=repeats)
    return log.astype(np.float64), np.repeat(scale, repeats) * rows.data
