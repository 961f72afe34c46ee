"""Arrays on disk: zarr v3, sharded, compressed, every chunk with a checksum.

Written by zarrs, which is several times faster than zarr's own pipeline but silently falls back to
it for some stores: `codec_pipeline` tells which one an array has. `data_store.disk.chunks` reads
what training reads all the time.
"""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from data_store.disk.workers import Workers

logger = logging.getLogger(__name__)

_LARGEST_BLOCK = 1 << 18  # bytes that are compressed together

# What AnnData reads of an array or group: how it is encoded, and how a column is ordered.
Attributes: TypeAlias = Mapping[str, str | bool]
# Open arrays by name: HDF5's and zarr's, which share no type.
Arrays: TypeAlias = dict[str, Any]

ARRAY: Attributes = {"encoding-type": "array", "encoding-version": "0.2.0"}


def repeatable_codecs() -> Any:
    """A context in which arrays are opened for writing.

    It uses one thread. With more, the chunks of a shard are in the order in which threads finish,
    and the same cells give other bytes.
    """
    return zarr.config.set(
        {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "threading.max_workers": 1}
    )


def codec_pipeline(array: "zarr.Array[Any]") -> str:
    """The name of the class that encodes and decodes this array's chunks."""
    # The oldest zarr that we run with has no public name for it.
    return type(array._async_array.codec_pipeline).__name__


def create(
    group: zarr.Group,
    name: str,
    *,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None,
    attributes: Attributes | None = None,
    fill_value: float | None = None,
) -> "zarr.Array[Any]":
    """A new array with blosc-zstd and CRC-32C.

    `attributes` tell AnnData what it is, an array by default. `fill_value` is read where nothing
    was written.
    """
    block = min(int(np.prod(chunks)) * np.dtype(dtype).itemsize, _LARGEST_BLOCK)
    with repeatable_codecs():
        array = group.create_array(
            name,
            shape=shape,
            dtype=np.dtype(dtype),
            # zarrs leaves out chunks of nothing but fill values, so the fill value must be one
            # that does not occur: no count is stored as 0, no index or size is negative.
            fill_value=_never_stored(dtype) if fill_value is None else fill_value,
            chunks=chunks,
            shards=shards,
            # On counts, level 2 takes 1.5 times the time for 1 % less. One block per chunk: that
            # halves the time of what blosc would choose. Without the checksum a flipped bit may
            # decode to other numbers in silence.
            compressors=[
                BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", blocksize=block),
                Crc32cCodec(),
            ],
            attributes=dict(attributes or ARRAY),
        )
    logger.debug("%s is encoded by %s", name, codec_pipeline(array))
    return array


def _never_stored(dtype: DTypeLike) -> int:
    return 0 if np.dtype(dtype).kind in "ub" else -1


def shard_length(length: int, *, chunk: int, chunks: int) -> int:
    """A shard of `chunks` chunks, or of as many as the array has."""
    return chunk * max(1, min(chunks, -(-length // chunk)))


def require_full(array: "zarr.Array[Any]", *, written: int) -> None:
    """Refuse an array that is not completely written: the rest would read as values.

    Raises:
        RuntimeError: Fewer or more values, or rows, were written than it has.
    """
    if written != array.shape[0]:
        raise RuntimeError(
            f"expected {array.shape[0]} values or rows in {array.path}, got {written}"
        )


class Appender:
    """Writes a one-dimensional array in order, in whole shards.

    Parts of a shard wait in memory, because a half-written shard must be read and decoded again.
    """

    def __init__(self, array: "zarr.Array[Any]", *, workers: Workers | None = None) -> None:
        """Prepare to write; the caller must wait for what `workers` have begun."""
        self._array = array
        self._workers = workers or Workers()
        self._shard = int((array.shards or array.chunks)[0])
        self._parts: list[NDArray[Any]] = []
        self._waiting = 0
        self.written = 0

    def append(self, values: NDArray[Any]) -> None:
        """Add values after those that came before."""
        self._parts.append(values)
        self._waiting += len(values)
        if self._waiting >= self._shard:
            self._flush(self._waiting - self._waiting % self._shard)

    def close(self) -> None:
        """Write what is left; the array must now be full.

        Raises:
            RuntimeError: It is not.
        """
        self._flush(self._waiting)
        require_full(self._array, written=self.written)

    def _flush(self, count: int) -> None:
        if not count:
            return
        values = np.concatenate(self._parts) if len(self._parts) > 1 else self._parts[0]
        for start in range(0, count, self._shard):
            part = values[start : min(start + self._shard, count)]
            self._workers.begin(partial(self._write, self.written + start, part))
        self.written += count
        rest = values[count:]
        self._parts = [rest.copy()] if len(rest) else []
        self._waiting = len(rest)

    def _write(self, start: int, values: NDArray[Any]) -> None:
        self._array[start : start + len(values)] = values
