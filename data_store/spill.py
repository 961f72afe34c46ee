"""Rows sorted by (unit, random key) without holding them: buckets that fit in memory.

A bucket is a run of small units or a slice of a large one, cut by the random key. Which row goes
where depends on (seed, row) and the sizes alone, never on the memory at hand, so that the store
does not either. Rows wait in memory until there are too many; then they are appended to one file
per bucket.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store.columns import Block

BUCKET_BYTES = 48_000_000
_KEYS = 4_096  # keys drawn together
_SHUFFLE = 1  # purpose of the draw


class Rows(NamedTuple):
    """Some cells on their way into a store."""

    unit: NDArray[np.int32]  # (cells,)
    key: NDArray[np.uint64]  # (cells,), sorts the cells of a unit
    matrix: sp.csr_matrix  # (cells, genes)
    obs: Block

    @property
    def bytes(self) -> int:
        return int(
            self.matrix.data.nbytes
            + self.matrix.indices.nbytes
            + self.matrix.indptr.nbytes
            + self.key.nbytes
            + self.unit.nbytes
            + sum(part.nbytes for part in self.obs.values())
        )

    def take(self, order: NDArray[np.integer[Any]]) -> "Rows":
        return Rows(
            unit=self.unit[order],
            key=self.key[order],
            matrix=self.matrix[order],
            obs={name: part[order] for name, part in self.obs.items()},
        )


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


def plan(cells: NDArray[np.int64], *, row_bytes: float, bucket_bytes: int) -> Buckets:
    """Cut units of these sizes into buckets of at most about `bucket_bytes`."""
    first, parts = np.zeros(len(cells), dtype=np.int64), np.ones(len(cells), dtype=np.int64)
    bucket, room = -1, 0.0
    for unit, size in enumerate(cells * row_bytes):
        if size > bucket_bytes:
            parts[unit] = int(-(-size // bucket_bytes))
            first[unit], room = bucket + 1, 0.0
            bucket += int(parts[unit])
            continue
        if size > room or bucket < 0:
            bucket, room = bucket + 1, float(bucket_bytes)
        first[unit], room = bucket, room - size
    return Buckets(first=first, parts=parts)


def keys(start: int, stop: int, *, seed: int) -> NDArray[np.uint64]:
    """The random keys of source rows start to stop: each depends on (seed, row) alone."""
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
    """Takes rows in any order, gives them back in order."""

    def __init__(self, folder: Path, *, buckets: Buckets, memory: int) -> None:
        self._folder = folder
        self._buckets = buckets
        self._memory = memory
        # Rows as they came, their order by bucket, and where each bucket begins in that order.
        self._held: list[tuple[Rows, NDArray[np.int64], NDArray[np.int64]]] = []
        self._bytes = 0

    def add(self, rows: Rows) -> None:
        """Take rows."""
        bucket = self._buckets.of(rows.unit, rows.key)
        order = np.argsort(bucket, kind="stable")
        bounds = np.searchsorted(bucket[order], np.arange(self._buckets.total + 1))
        self._held.append((rows, order, bounds))
        self._bytes += rows.bytes
        if self._bytes > self._memory:
            self._flush()

    def finish(self) -> None:
        """No more rows come: what was spilled before is completed."""
        if self._folder.exists():
            self._flush()

    def remove(self) -> None:
        """Delete what was spilled."""
        self._held = []
        shutil.rmtree(self._folder, ignore_errors=True)

    def sorted(self) -> Iterator[Rows]:
        """All rows in the order of (unit, key), bucket by bucket."""
        for bucket in range(self._buckets.total):
            path = self._path(bucket)
            spilled = path.exists()
            parts = _load(path, genes=self._genes) if spilled else self._parts(bucket)
            if parts:  # chance may leave a slice of a unit empty
                yield _ordered(parts)

    def _parts(self, bucket: int) -> list[Rows]:
        return [
            rows.take(order[bounds[bucket] : bounds[bucket + 1]])
            for rows, order, bounds in self._held
            if bounds[bucket] < bounds[bucket + 1]
        ]

    def _flush(self) -> None:
        self._folder.mkdir(exist_ok=True)
        for bucket in range(self._buckets.total):
            parts = self._parts(bucket)
            if parts:
                self._genes = parts[0].matrix.shape[1]
                with self._path(bucket).open("ab") as file:
                    for part in parts:
                        _save(file, part)
        self._held, self._bytes = [], 0

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket:07d}"


def _save(file: BinaryIO, rows: Rows) -> None:
    matrix = rows.matrix
    narrow = matrix.indices.astype(np.uint16) if matrix.shape[1] <= 65_536 else matrix.indices
    names = np.array(list(rows.obs), dtype=np.str_)
    arrays = (names, rows.unit, rows.key, matrix.indptr, narrow, matrix.data, *rows.obs.values())
    for array in arrays:
        np.save(file, array, allow_pickle=False)


def _load(path: Path, *, genes: int) -> list[Rows]:
    parts = []
    size = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() < size:
            names, unit, key, indptr, indices, data = (_next(file) for _ in range(6))
            obs = {str(name): _next(file) for name in names}
            matrix = sp.csr_matrix(
                (data, indices.astype(np.int32, copy=False), indptr),
                shape=(len(unit), genes),
                copy=False,
            )
            parts.append(Rows(unit=unit, key=key, matrix=matrix, obs=obs))
    return parts


def _next(file: BinaryIO) -> NDArray[Any]:
    array: NDArray[Any] = np.load(file, allow_pickle=False)
    return array


def _ordered(parts: list[Rows]) -> Rows:
    """The rows of all parts by (unit, key); the parts are let go as soon as can be."""
    rows = _join(parts)
    parts.clear()
    return rows.take(np.lexsort((rows.key, rows.unit)))


def _join(parts: Sequence[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    return Rows(
        unit=np.concatenate([part.unit for part in parts]),
        key=np.concatenate([part.key for part in parts]),
        matrix=sp.vstack([part.matrix for part in parts], format="csr"),
        obs={name: np.concatenate([part.obs[name] for part in parts]) for name in parts[0].obs},
    )
