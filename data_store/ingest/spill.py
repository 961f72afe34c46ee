"""Rows sorted by (unit, random key) without holding them: buckets that fit in memory.

A bucket is a run of small units or a slice of a large one, cut by the random key. A row's
place depends only on (seed, row) and the sizes, never on the available memory; so neither does the
store. Rows wait in memory until there are too many; then they are appended to one file per bucket.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store.disk.columns import Block
from data_store.disk.csr import rows_of

BUCKET_BYTES = 32_000_000
_KEYS = 4_096  # keys drawn together
_SHUFFLE = 1  # purpose of the draw


class Rows(NamedTuple):
    """Some cells on their way into a store."""

    unit: NDArray[np.int32]  # (cells,), -1 for cells that are left out
    key: NDArray[np.uint64]  # (cells,), sorts the cells of a unit
    matrix: sp.csr_matrix  # (cells, genes)
    obs: Block

    @property
    def bytes(self) -> int:
        return sum(array.nbytes for array in _arrays(self))

    def take(self, order: NDArray[np.integer[Any]]) -> "Rows":
        return Rows(
            unit=self.unit[order],
            key=self.key[order],
            matrix=self.matrix[order],
            obs={name: part[order] for name, part in self.obs.items()},
        )


class Arranged(NamedTuple):
    """Rows in the order of their buckets."""

    rows: Rows
    bounds: NDArray[np.int64]  # (buckets + 1,), where each bucket's rows begin


class Buckets(NamedTuple):
    """Where each unit's rows go: `parts` buckets from `first` on."""

    first: NDArray[np.int64]  # (units,)
    parts: NDArray[np.int64]  # (units,)

    @property
    def total(self) -> int:
        return int(self.first[-1] + self.parts[-1]) if len(self.first) else 0

    def of(self, unit: NDArray[np.int32], key: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The bucket of each row, rising with (unit, key)."""
        share = (key >> np.uint64(40)).astype(np.int64)  # 24 bits
        return self.first[unit] + ((share * self.parts[unit]) >> 24)

    def arrange(self, rows: Rows) -> Arranged:
        """Rows in the order of their buckets, without those that are left out."""
        kept = np.flatnonzero(rows.unit >= 0)
        bucket = self.of(rows.unit[kept], rows.key[kept])
        order = np.argsort(bucket, kind="stable")
        return Arranged(
            rows=rows.take(kept[order]),
            bounds=np.searchsorted(bucket[order], np.arange(self.total + 1)),
        )


def plan(
    cells: NDArray[np.int64], *, row_bytes: float, unit_bytes: int, bucket_bytes: int
) -> Buckets:
    """Cut units of these sizes into buckets of at most about `bucket_bytes`.

    Args:
        cells: Of each unit, (units,).
        row_bytes: Of a cell.
        unit_bytes: Of the sums of a unit; a bucket has those of all its units at once.
        bucket_bytes: For the rows, and the same again for the sums.
    """
    first, parts = np.zeros(len(cells), dtype=np.int64), np.ones(len(cells), dtype=np.int64)
    most = max(1, bucket_bytes // max(1, unit_bytes))  # units in a bucket
    bucket, room, units = -1, 0.0, 0
    for unit, size in enumerate(cells * row_bytes):
        if size > bucket_bytes:
            parts[unit] = int(-(-size // bucket_bytes))
            first[unit], room = bucket + 1, 0.0
            bucket += int(parts[unit])
            continue
        if size > room or units == most or bucket < 0:
            bucket, room, units = bucket + 1, float(bucket_bytes), 0
        first[unit], room, units = bucket, room - size, units + 1
    return Buckets(first=first, parts=parts)


def keys(start: int, stop: int, *, seed: int) -> NDArray[np.uint64]:
    """The random keys of source rows start to stop: each depends only on (seed, row)."""
    low = start // _KEYS
    drawn = [
        np.random.default_rng((seed, _SHUFFLE, group)).integers(2**64, size=_KEYS, dtype=np.uint64)
        for group in range(low, -(-stop // _KEYS))
    ]
    return (
        np.concatenate(drawn)[start - low * _KEYS : stop - low * _KEYS]
        if drawn
        else np.empty(0, np.uint64)
    )


class Spill:
    """Takes rows in any order and returns them in order."""

    def __init__(self, folder: Path, *, buckets: Buckets, memory: int) -> None:
        self._folder = folder
        self._memory = memory
        self._held: list[Arranged] = []
        self._bytes = 0
        self._genes = 0
        self.buckets = buckets

    def add(self, arranged: Arranged) -> None:
        """Take rows that `buckets` arranged."""
        self._held.append(arranged)
        self._bytes += arranged.rows.bytes
        self._genes = arranged.rows.matrix.shape[1]
        if self._bytes > self._memory:
            self._flush()

    def finish(self) -> None:
        """Complete the files, when no more rows come."""
        if self._folder.exists():
            self._flush()

    def remove(self) -> None:
        """Delete what was spilled."""
        self._held = []
        shutil.rmtree(self._folder, ignore_errors=True)

    def sorted(self, bucket: int) -> Rows | None:
        """The rows of a bucket in the order of (unit, key); None if it is empty by chance."""
        path = self._path(bucket)
        parts = _load(path, genes=self._genes) if path.exists() else self._parts(bucket)
        return _ordered(parts) if parts else None

    def _parts(self, bucket: int) -> list[Rows]:
        return [
            _slice(rows, int(bounds[bucket]), int(bounds[bucket + 1]))
            for rows, bounds in self._held
            if bounds[bucket] < bounds[bucket + 1]
        ]

    def _flush(self) -> None:
        self._folder.mkdir(exist_ok=True)
        for bucket in range(self.buckets.total):
            parts = self._parts(bucket)
            if parts:
                with self._path(bucket).open("ab") as file:
                    for part in parts:
                        _save(file, part)
        self._held, self._bytes = [], 0

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket:07d}"


def _arrays(rows: Rows) -> list[NDArray[Any]]:
    """All arrays of some rows, in the order in which they are saved."""
    matrix = rows.matrix
    return [rows.unit, rows.key, matrix.indptr, matrix.indices, matrix.data, *rows.obs.values()]


def _slice(rows: Rows, low: int, high: int) -> Rows:
    """Rows low to high; nothing is copied."""
    return Rows(
        unit=rows.unit[low:high],
        key=rows.key[low:high],
        matrix=rows_of(rows.matrix, low, high),
        obs={name: part[low:high] for name, part in rows.obs.items()},
    )


def _save(file: BinaryIO, rows: Rows) -> None:
    """Append rows: a line that describes the arrays, then their bytes."""
    narrow = np.uint16 if rows.matrix.shape[1] <= 65_536 else np.int32
    arrays = _arrays(rows)
    arrays[3] = arrays[3].astype(narrow, copy=False)
    head = {"obs": list(rows.obs), "arrays": [(a.dtype.str, len(a)) for a in arrays]}
    file.write(json.dumps(head).encode() + b"\n")
    for array in arrays:
        file.write(np.ascontiguousarray(array).view(np.uint8).data)


def _load(path: Path, *, genes: int) -> list[Rows]:
    raw, parts, place = path.read_bytes(), [], 0
    while place < len(raw):
        end = raw.index(b"\n", place)
        head = json.loads(raw[place:end])
        place, arrays = end + 1, []
        for kind, length in head["arrays"]:
            array = np.frombuffer(raw, dtype=kind, count=length, offset=place)
            arrays.append(array)
            place += array.nbytes
        unit, key, indptr, indices, data, *obs = arrays
        matrix = sp.csr_matrix((len(unit), genes), dtype=data.dtype)
        # Not checked and not copied: indices stay narrow until parts are joined.
        matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
        parts.append(Rows(unit, key, matrix, dict(zip(head["obs"], obs, strict=True))))
    return parts


def _ordered(parts: list[Rows]) -> Rows:
    """The rows of all parts by (unit, key); the parts are released as soon as possible."""
    rows = _join(parts)
    parts.clear()
    return rows.take(np.lexsort((rows.key, rows.unit)))


def _join(parts: Sequence[Rows]) -> Rows:
    lengths = np.concatenate([np.diff(part.matrix.indptr) for part in parts])
    matrix = sp.csr_matrix(
        (
            np.concatenate([part.matrix.data for part in parts]),
            np.concatenate([part.matrix.indices for part in parts], dtype=np.int32),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
        ),
        shape=(len(lengths), parts[0].matrix.shape[1]),
        copy=False,
    )
    return Rows(
        unit=np.concatenate([part.unit for part in parts]),
        key=np.concatenate([part.key for part in parts]),
        matrix=matrix,
        obs={name: np.concatenate([part.obs[name] for part in parts]) for name in parts[0].obs},
    )
