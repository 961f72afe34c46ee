"""Cells of a store as arrays: any run of rows, decoded once and kept while there is room.

Rows are sorted by unit, (context, condition), so a unit is one run of rows. Expression is
log1p(counts / library size * 10,000), float32.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import scipy.sparse as sp
import zarr
from anndata.io import read_elem
from numpy.typing import NDArray

from data_store import columns as cols
from data_store import moments, normalise
from data_store.chunks import ChunkReader
from data_store.labels import Tokens
from data_store.moments import Moments
from data_store.schema import (
    CELLS,
    CONDITIONS,
    LIBRARY_SIZE,
    MOMENTS,
    Manifest,
    Perturbation,
    read_manifest,
)

_WHOLE_ROWS = 512  # a unit up to this is decoded as a whole,
_BLOCK_ROWS = 128  # of a larger one so many rows at a time
_PASSING_ROWS = 4_096  # longer runs are read once, past the cache, so many rows at a time
_CACHE_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Unit:
    """The cells of one condition in one context: rows start to stop of the store."""

    context: str
    condition: str  # canonical name
    label: str  # as the data write it
    tokens: Tokens
    start: int
    stop: int
    nonzero: int = field(compare=False, default=0)  # values of all its cells

    @property
    def is_control(self) -> bool:
        return not self.tokens

    def __len__(self) -> int:
        return self.stop - self.start


class Block(NamedTuple):
    """Some decoded rows."""

    start: int  # row of the store
    indptr: NDArray[np.int64]  # (rows + 1,), from 0
    indices: NDArray[np.int32]
    data: NDArray[Any]
    scale: NDArray[np.float32]  # (rows,), 10,000 / library size

    @property
    def bytes(self) -> int:
        return sum(part.nbytes for part in self[1:])


class Store:
    """An open store. Safe to read from several threads."""

    def __init__(self, path: Path, *, manifest: Manifest, cache_bytes: int = _CACHE_BYTES) -> None:
        self.path = path
        self.manifest = manifest
        with self._readable(CELLS):
            self._open_arrays()
        with self._readable(CONDITIONS):
            self.units = _read_units(path / CONDITIONS)
        self._starts = np.array([unit.start for unit in self.units], dtype=np.int64)
        self._cache = _Cache(cache_bytes)

    @classmethod
    def open(cls, path: Path | str, *, cache_bytes: int = _CACHE_BYTES) -> Self:
        """Open a store, checking that every file is there with its size.

        Raises:
            FileNotFoundError: Nothing is there.
            ValueError: It is no store, is incomplete, or has another schema; names the file.
        """
        path = Path(path)
        manifest = read_manifest(path)
        for shard in manifest.shards:
            file = path / shard.path
            size = file.stat().st_size if file.is_file() else None
            if size != shard.bytes:
                raise ValueError(
                    f"expected {shard.bytes} bytes in {shard.path} of the store {path}, got "
                    f"{'no file' if size is None else size}; ingest again or restore the file"
                )
        return cls(path, manifest=manifest, cache_bytes=cache_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget what was decoded."""
        self._cache.clear()

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    @property
    def contexts(self) -> tuple[str, ...]:
        return self.manifest.contexts

    @property
    def perturbation(self) -> Perturbation:
        return self.manifest.perturbation

    @cached_property
    def genes(self) -> tuple[str, ...]:
        """Names of the store's columns."""
        with self._readable(f"{CELLS}/var"):
            return tuple(map(str, self.var.index))

    @cached_property
    def var(self) -> pd.DataFrame:
        """What the source says about the genes."""
        with self._readable(f"{CELLS}/var"):
            table: pd.DataFrame = read_elem(self._root["var"])
        return table

    @cached_property
    def controls(self) -> dict[str, Unit]:
        """The control of each context."""
        return {unit.context: unit for unit in self.units if unit.is_control}

    @cached_property
    def conditions(self) -> dict[str, Tokens]:
        """Tokens of each condition by canonical name, without the control."""
        return {unit.condition: unit.tokens for unit in self.units if not unit.is_control}

    @cached_property
    def labels(self) -> dict[str, str]:
        """How the data write each condition, by canonical name, without the control."""
        return {unit.condition: unit.label for unit in self.units if not unit.is_control}

    @cached_property
    def moments(self) -> Moments:
        """Sums per unit and gene."""
        with self._readable(MOMENTS):
            return moments.read(self.path / MOMENTS)

    def expression(
        self, start: int, stop: int, *, genes: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """log1p per 10k of rows start to stop, (cells, genes), dense.

        Args:
            start: First row.
            stop: Row after the last.
            genes: Columns of the store, in the wanted order; None for all.

        Raises:
            ValueError: Rows or columns outside the store; a damaged shard, which it names.
        """
        start, stop = self._range(start, stop)
        if stop - start <= _WHOLE_ROWS:
            return self.expression_of(np.arange(start, stop), genes=genes)
        place, width = self._places(genes)
        result = np.zeros((stop - start, width), dtype=np.float32)
        for low in range(start, stop, _PASSING_ROWS):
            block = self._decode(low, min(low + _PASSING_ROWS, stop))
            rows = np.arange(len(block.scale))
            self._densify(block, rows, place, out=result[low - start : low - start + len(rows)])
        return result

    def expression_of(
        self, rows: NDArray[np.int64], *, genes: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """log1p per 10k of these rows, in rising order, (cells, genes), dense."""
        place, width = self._places(genes)
        result = np.zeros((len(rows), width), dtype=np.float32)
        done = 0
        for block in self._blocks_of(rows):
            high = int(np.searchsorted(rows, block.start + len(block.scale)))
            self._densify(block, rows[done:high] - block.start, place, out=result[done:high])
            done = high
        return result

    def counts(self, start: int, stop: int) -> sp.csr_matrix:
        """Stored values of rows start to stop, CSR (cells, genes): counts, unless normalised."""
        start, stop = self._range(start, stop)
        block = self._decode(start, stop)
        indptr = block.indptr.astype(np.int32) if len(block.data) < 2**31 else block.indptr
        return sp.csr_matrix(
            (block.data, block.indices.astype(indptr.dtype, copy=False), indptr),
            shape=(stop - start, self.manifest.genes),
            copy=False,
        )

    def obs(self, start: int, stop: int) -> pd.DataFrame:
        """What the source says about rows start to stop, and their library sizes."""
        start, stop = self._range(start, stop)
        with self._readable(f"{CELLS}/obs"):
            group = self._root["obs"]
            names = [str(name) for name in group.attrs["column-order"]]
            columns = [column for name in names if (column := cols.describe(group, name))]
            index = cols.describe(group, cols.INDEX)
            assert index is not None
            block = cols.read_block(group, [*columns, index], start=start, stop=stop)
        return cols.frame(columns, block, index=block[cols.INDEX])

    def library_sizes(self, start: int, stop: int) -> NDArray[np.float64]:
        """Library sizes of rows start to stop, (cells,)."""
        start, stop = self._range(start, stop)
        return self._library[start:stop]

    def _open_arrays(self) -> None:
        self._root: Any = zarr.open_group(self.path / CELLS, mode="r")
        self._data = self._chunks("X/data")
        self._indices = self._chunks("X/indices")
        self._indptr = self._chunks("X/indptr")
        self._library = self._chunks(f"obs/{LIBRARY_SIZE}")

    def _chunks(self, part: str) -> ChunkReader:
        return ChunkReader(self.path, f"{CELLS}/{part}", array=self._root[part])

    def _range(self, start: int, stop: int) -> tuple[int, int]:
        if not 0 <= start <= stop <= self.manifest.cells:
            raise ValueError(
                f"expected rows within 0:{self.manifest.cells} of {self.path}, got {start}:{stop}"
            )
        return start, stop

    def _places(self, genes: NDArray[np.int64] | None) -> tuple[NDArray[np.int32] | None, int]:
        """Where each column of the store goes, -1 for nowhere, and how many columns result."""
        if genes is None:
            return None, self.manifest.genes
        if len(genes) and not (genes.min() >= 0 and genes.max() < self.manifest.genes):
            raise ValueError(
                f"expected gene columns within 0:{self.manifest.genes} of {self.path}, got "
                f"{genes.min()} to {genes.max()}"
            )
        place = np.full(self.manifest.genes, -1, dtype=np.int32)
        place[genes] = np.arange(len(genes), dtype=np.int32)
        if len(genes) != np.count_nonzero(place >= 0):
            raise ValueError("expected distinct gene columns, got one more than once")
        return place, len(genes)

    def _blocks_of(self, rows: NDArray[np.int64]) -> Iterator[Block]:
        """The decoded blocks that hold these rising rows, each once."""
        done = 0
        while done < len(rows):
            block = self._block(int(rows[done]))
            yield block
            done = int(np.searchsorted(rows, block.start + len(block.scale)))

    def _block(self, row: int) -> Block:
        """The block around a row: its unit, or the part of a large unit on a fixed grid."""
        unit = self.units[int(np.searchsorted(self._starts, row, side="right")) - 1]
        rows = len(unit) if len(unit) <= _WHOLE_ROWS else _BLOCK_ROWS
        start = unit.start + (row - unit.start) // rows * rows
        block = self._cache.get(start)
        if block is None:
            block = self._decode(start, min(start + rows, unit.stop))
            self._cache.put(start, block)
        return block

    def _decode(self, start: int, stop: int) -> Block:
        pointers = self._indptr[start : stop + 1].astype(np.int64)
        span = slice(int(pointers[0]), int(pointers[-1]))
        return Block(
            start=start,
            indptr=pointers - span.start,
            indices=self._indices[span],
            data=self._data[span],
            scale=normalise.scale(self.library_sizes(start, stop)).astype(np.float32),
        )

    def _densify(
        self,
        block: Block,
        rows: NDArray[np.int64],
        place: NDArray[np.int32] | None,
        *,
        out: NDArray[np.float32],
    ) -> None:
        """Write the expression of some rows of a block into zeros, genes first chosen."""
        lengths = block.indptr[rows + 1] - block.indptr[rows]
        ends = np.cumsum(lengths)
        if len(rows) == len(block.scale):
            taken: Any = slice(None)
        else:
            taken = np.arange(ends[-1]) + np.repeat(block.indptr[rows] - (ends - lengths), lengths)
        columns, data = block.indices[taken], block.data[taken]
        if place is not None:
            columns = place[columns]
            kept = np.flatnonzero(columns >= 0)
            columns, data = columns[kept], data[kept]
            lengths = np.diff(np.searchsorted(kept, ends), prepend=0)
        values = data
        if not self.manifest.normalised:
            values = normalise.expression(data, scale=block.scale[rows], repeats=lengths)
        row = np.repeat(np.arange(len(rows)) * out.shape[1], lengths)
        out.reshape(-1)[row + columns] = values

    @contextmanager
    def _readable(self, part: str) -> Iterator[None]:
        """Turn what a library says about damaged bytes into an error that names the store."""
        try:
            yield
        except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
            what = " ".join(str(error).split())[:120]
            raise ValueError(
                f"expected intact files in {part} of the store {self.path}, they are damaged or "
                f"missing ({what}); run scdfm verify, then ingest again"
            ) from None


class _Cache:
    """Blocks used last, in at most so many bytes."""

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes = limit, 0
        self._blocks: OrderedDict[int, Block] = OrderedDict()
        self._lock = Lock()

    def get(self, start: int) -> Block | None:
        with self._lock:
            if start not in self._blocks:
                return None
            self._blocks.move_to_end(start)
            return self._blocks[start]

    def put(self, start: int, block: Block) -> None:
        with self._lock:
            if start in self._blocks or block.bytes > self._limit:
                return
            self._blocks[start] = block
            self._bytes += block.bytes
            while self._bytes > self._limit:
                self._bytes -= self._blocks.popitem(last=False)[1].bytes

    def clear(self) -> None:
        with self._lock:
            self._blocks.clear()
            self._bytes = 0


def _read_units(path: Path) -> tuple[Unit, ...]:
    return tuple(
        Unit(
            context=row["context"],
            condition=row["condition"],
            label=row["label"],
            tokens=tuple(row["tokens"]),
            start=row["row_start"],
            stop=row["row_stop"],
            nonzero=row["nonzero_stop"] - row["nonzero_start"],
        )
        for row in pq.read_table(path).to_pylist()
    )
