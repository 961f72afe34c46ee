"""Arrays on disk: zarr v3, sharded, compressed, every chunk with a checksum.

zarrs decodes several times faster than zarr's own pipeline, and falls back to it in silence for
some stores, so `codec_pipeline` tells which one an array has.
"""

import logging
from typing import Any

import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

logger = logging.getLogger(__name__)

_FAST = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}


def fast_codecs() -> Any:
    """A context in which arrays are opened with the zarrs codec pipeline."""
    return zarr.config.set(_FAST)


def repeatable_codecs() -> Any:
    """A context in which arrays are opened for writing.

    One thread, or the chunks of a shard stand in the order in which threads finish, and the same
    cells do not give the same bytes.
    """
    return zarr.config.set({**_FAST, "threading.max_workers": 1})


def codec_pipeline(array: "zarr.Array[Any]") -> str:
    """The name of the class that encodes and decodes this array's chunks."""
    return type(array._async_array.codec_pipeline).__name__


def create(
    group: zarr.Group,
    name: str,
    *,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None,
) -> "zarr.Array[Any]":
    """A new array with blosc-zstd and CRC-32C; chunks of zeros are written like any other.

    `encoding-type` marks it as AnnData's array.
    """
    with repeatable_codecs():
        array = group.create_array(
            name,
            shape=shape,
            dtype=np.dtype(dtype),
            chunks=chunks,
            shards=shards,
            # Without the checksum a flipped bit may decode to other numbers in silence.
            compressors=[BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"), Crc32cCodec()],
            attributes={"encoding-type": "array", "encoding-version": "0.2.0"},
            config={"write_empty_chunks": True},
        )
    logger.debug("%s is encoded by %s", name, codec_pipeline(array))
    return array


def shard_length(length: int, *, chunk: int, chunks: int) -> int:
    """A shard of `chunks` chunks, or of as many as the array has."""
    return chunk * max(1, min(chunks, -(-length // chunk)))


class Appender:
    """Writes a one-dimensional array in order, in whole shards.

    Parts of a shard wait in memory: to write half a shard is to read, decode and write it again.
    """

    def __init__(self, array: "zarr.Array[Any]") -> None:
        self._array = array
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
        """Write what is left; the array must now be full."""
        self._flush(self._waiting)
        assert self.written == self._array.shape[0], (self.written, self._array.shape)

    def _flush(self, count: int) -> None:
        if not count:
            return
        values = np.concatenate(self._parts) if len(self._parts) > 1 else self._parts[0]
        for start in range(0, count, self._shard):
            stop = min(start + self._shard, count)
            self._array[self.written + start : self.written + stop] = values[start:stop]
        self.written += count
        rest = values[count:]
        self._parts = [rest.copy()] if len(rest) else []
        self._waiting = len(rest)
