"""Fast, checked reading of one-dimensional sharded arrays on a local disk.

zarrs does not check a chunk's CRC-32C when only part of the chunk is asked for, and zarr's own
pipeline needs a millisecond per read. So the arrays that training reads all the time are decoded
here, whole chunks at a time: a shard is its chunks, then an index of (offset, length) pairs, then
the index's CRC-32C; a chunk is a blosc buffer, then its CRC-32C.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs import blosc  # type: ignore[import-untyped]
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec

_CRC = 4  # bytes
_SHARDS_KEPT = 1_024  # indices of shards in memory: 2 KB each


class ChunkReader:
    """Reads runs of an array that `data_store.arrays.create` wrote."""

    def __init__(self, store: Path, part: str, *, array: "zarr.Array[Any]") -> None:
        """Prepare to read.

        Raises:
            ValueError: The array is encoded in another way.
        """
        self._store, self._part = store, part
        self.length: int = array.shape[0]
        self._folder = f"{store}/{part}/c/"
        self._dtype = array.dtype
        self._chunk: int = array.chunks[0]
        self._per_shard = _chunks_per_shard(array, where=f"{store}/{part}")
        self._indices: OrderedDict[int, NDArray[np.int64]] = OrderedDict()
        self._lock = Lock()

    def __getitem__(self, span: slice) -> NDArray[Any]:
        """Elements span.start to span.stop.

        Raises:
            ValueError: A shard is damaged or missing; names it and the store.
        """
        start, stop = span.start, min(span.stop, self.length)
        if stop <= start:
            return np.empty(0, dtype=self._dtype)
        first, last = start // self._chunk, -(-stop // self._chunk)
        out = np.empty((last - first) * self._chunk, dtype=self._dtype)
        for shard in range(first // self._per_shard, -(-last // self._per_shard)):
            low = max(first, shard * self._per_shard)
            high = min(last, (shard + 1) * self._per_shard)
            with self._named(shard):
                part = out[(low - first) * self._chunk : (high - first) * self._chunk]
                self._read(shard, low - shard * self._per_shard, into=part)
        return out[start - first * self._chunk : stop - first * self._chunk]

    def _read(self, shard: int, low: int, *, into: NDArray[Any]) -> None:
        """Decode chunks of a shard, from its chunk `low` on, until `into` is full."""
        handle = os.open(f"{self._folder}{shard}", os.O_RDONLY)
        try:
            index = self._index(shard, handle)[low : low + len(into) // self._chunk]
            # Chunks that follow each other in the array do so in the file: one read.
            begin, end = int(index[:, 0].min()), int(index.sum(axis=1).max())
            raw = _pread(handle, begin, end - begin)
        finally:
            os.close(handle)
        for k, (offset, size) in enumerate(index.tolist()):
            chunk = _checked(raw[offset - begin : offset - begin + size])
            blosc.decompress(chunk, into[k * self._chunk : (k + 1) * self._chunk])

    def _index(self, shard: int, handle: int) -> NDArray[np.int64]:
        """Offset and length of each chunk of a shard."""
        with self._lock:
            if shard in self._indices:
                self._indices.move_to_end(shard)
                return self._indices[shard]
        size = self._per_shard * 16
        place = os.fstat(handle).st_size - size - _CRC
        if place < 0:
            raise OSError("it is too short")
        raw = _checked(_pread(handle, place, size + _CRC))
        index = np.frombuffer(raw, dtype="<u8").reshape(-1, 2).astype(np.int64)
        with self._lock:
            self._indices[shard] = index
            while len(self._indices) > _SHARDS_KEPT:
                self._indices.popitem(last=False)
        return index

    @contextmanager
    def _named(self, shard: int) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise ValueError(
                f"expected the shard {self._part}/c/{shard} in the store {self._store}, it is "
                "gone; ingest again or restore the file"
            ) from None
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"expected intact bytes in {self._part}/c/{shard} of the store {self._store}, "
                f"they are damaged ({error}); run scdfm verify, then ingest again"
            ) from None


def _chunks_per_shard(array: "zarr.Array[Any]", *, where: str) -> int:
    """Check the encoding and return how many chunks a shard has."""
    (codec, *others) = getattr(array.metadata, "codecs", (None,))
    kinds = (BytesCodec, BloscCodec, Crc32cCodec)
    if (
        others
        or not isinstance(codec, ShardingCodec)
        or tuple(type(inner) for inner in codec.codecs) != kinds
        or tuple(type(inner) for inner in codec.index_codecs) != (BytesCodec, Crc32cCodec)
        or codec.index_location.value != "end"
        or array.shards is None
    ):
        raise ValueError(f"expected the array {where} as ingest writes it; ingest again")
    return int(array.shards[0] // array.chunks[0])


def _pread(handle: int, start: int, size: int) -> bytes:
    raw = os.pread(handle, size, start)
    if len(raw) != size:
        raise OSError("it is too short")
    return raw


def _checked(raw: bytes) -> bytes:
    """The bytes before their checksum."""
    body, stored = raw[:-_CRC], int.from_bytes(raw[-_CRC:], "little")
    if google_crc32c.value(body) != stored:
        raise OSError("the checksum does not match")
    return body
