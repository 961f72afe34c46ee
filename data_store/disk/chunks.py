"""Fast, checked reading of one-dimensional sharded arrays: many runs of several arrays at once.

zarrs does not check a chunk's CRC-32C when only part of the chunk is asked for, and zarr's own
pipeline needs a millisecond per read. So the arrays that training reads all the time are decoded
here, whole chunks at a time: a shard is its chunks, then an index of (offset, length) pairs, then
the index's CRC-32C; a chunk is a blosc buffer, then its CRC-32C.

One call fetches everything together: from a remote store in two round trips, one for the indices
of shards seen for the first time, one for all chunks.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Literal, NamedTuple

import google_crc32c
import numpy as np
import zarr
from numcodecs import blosc  # type: ignore[import-untyped]
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec

from data_store.disk.damage import reason, remedy
from data_store.disk.files import Files, Range

_CRC = 4  # bytes
_SHARDS_KEPT = 1_024  # indices of shards in memory: 4 KB each

logger = logging.getLogger(__name__)


class Sharded:
    """The layout of an array that `data_store.disk.arrays.create` wrote."""

    def __init__(
        self, array: "zarr.Array[Any]", *, part: str, keep: Literal["decoded", "encoded", "nothing"]
    ) -> None:
        """Look at the array's encoding.

        Args:
            array: The open array.
            part: Its path in the store.
            keep: In which form the cache keeps its chunks.

        Raises:
            ValueError: The array is encoded in another way.
        """
        self.part, self.keep = part, keep
        self.length: int = array.shape[0]
        self.dtype = array.dtype
        self.chunk: int = array.chunks[0]
        self.per_shard = _chunks_per_shard(array, where=part)

    def file(self, shard: int) -> str:
        return f"{self.part}/c/{shard}"


class Span(NamedTuple):
    """Elements start to stop of an array, within its length."""

    array: Sharded
    start: int
    stop: int


class _Run(NamedTuple):
    """Consecutive chunks of one shard, and where they go."""

    array: Sharded
    shard: int
    low: int  # chunk of the shard
    out: NDArray[Any]  # (chunks, chunk length)

    @property
    def file(self) -> str:
        return self.array.file(self.shard)

    def key(self, k: int) -> tuple[str, int]:
        """Names the k-th of these chunks in the cache."""
        return self.array.part, self.shard * self.array.per_shard + self.low + k


class ChunkReader:
    """Reads arrays of one store. Safe to use from several threads."""

    def __init__(self, files: Files, *, size: Callable[[str], int], cache_bytes: int) -> None:
        """Prepare to read.

        Args:
            files: Where the bytes are.
            size: Bytes of a file, as ingest wrote it.
            cache_bytes: Room for chunks that were read before.
        """
        self._files, self._size = files, size
        self._indices: OrderedDict[str, NDArray[np.int64]] = OrderedDict()
        self._lock = Lock()
        self.cache = Cache(cache_bytes)

    def read(self, spans: Sequence[Span]) -> list[NDArray[Any]]:
        """The elements of each span; do not write to them.

        Raises:
            ValueError: A shard is damaged or missing; names it and the store.
        """
        results: list[NDArray[Any]] = []
        runs: list[_Run] = []
        for array, start, stop in spans:
            first, last = start // array.chunk, -(-stop // array.chunk)
            kept = self.cache.get((array.part, first)) if last - first == 1 else None
            if isinstance(kept, np.ndarray):
                out = kept
            else:
                out = np.empty(max(0, last - first) * array.chunk, dtype=array.dtype)
                runs += _runs(array, first, last, out=out.reshape(-1, array.chunk))
            results.append(out[start - first * array.chunk : stop - first * array.chunk])
        runs = [missing for run in runs for missing in self._not_kept(run)]
        self._find(runs)
        self._fetch(runs)
        return results

    def _not_kept(self, run: _Run) -> Iterator[_Run]:
        """Fill in the chunks that the cache has; yield the others, neighbours together."""
        if run.array.keep == "nothing":
            yield run
            return
        begin = 0
        for k, out in enumerate(run.out):
            kept = self.cache.get(run.key(k))
            if kept is None:
                continue
            if begin < k:
                yield run._replace(low=run.low + begin, out=run.out[begin:k])
            begin = k + 1
            if isinstance(kept, np.ndarray):
                out[...] = kept
            else:
                blosc.decompress(kept, out)
        if begin < len(run.out):
            yield run._replace(low=run.low + begin, out=run.out[begin:])

    def _find(self, runs: Sequence[_Run]) -> None:
        """Read the indices of shards that are not known yet."""
        with self._lock:
            unknown = {run.file: run.array for run in runs if run.file not in self._indices}
        if not unknown:
            return
        wanted = []
        for name, array in unknown.items():
            size = array.per_shard * 16 + _CRC
            wanted.append(Range(name, self._size(name) - size, size))
        for part, raw in zip(wanted, self._files.ranges(wanted), strict=True):
            with self._named(part.name):
                index = np.frombuffer(
                    _checked(_whole(raw, part), 0, part.size), dtype="<u8"
                ).reshape(-1, 2)
            with self._lock:
                self._indices[part.name] = index.astype(np.int64)

    def _fetch(self, runs: Sequence[_Run]) -> None:
        """Read and decode chunks."""
        places = [self._places(run) for run in runs]
        wanted = []
        for run, place in zip(runs, places, strict=True):
            # Chunks that follow each other in the array do so in the file: one read.
            begin = min(offset for offset, _ in place)
            end = max(offset + size for offset, size in place)
            if begin < 0:  # how an index says that a chunk was never written
                with self._named(run.file):
                    raise OSError("a chunk is missing")
            wanted.append(Range(run.file, begin, end - begin))
        for run, place, part, raw in zip(
            runs, places, wanted, self._files.ranges(wanted), strict=True
        ):
            with self._named(part.name):
                body = _whole(raw, part)
                for k, (offset, size) in enumerate(place):
                    begin = offset - part.start
                    chunk = _checked(body, begin, begin + size)
                    blosc.decompress(chunk, run.out[k])
                    self._keep(run, k, chunk)

    def _keep(self, run: _Run, k: int, chunk: bytes) -> None:
        """Cache a chunk of a run: decoded, or as it came (checked by now), or not at all."""
        if run.array.keep != "nothing":
            item = run.out[k].copy() if run.array.keep == "decoded" else chunk
            self.cache.put(run.key(k), item)

    def _places(self, run: _Run) -> list[list[int]]:
        """Offset and length of each chunk of a run."""
        with self._lock:
            index = self._indices.get(run.file)
            if index is not None:
                self._indices.move_to_end(run.file)
            while len(self._indices) > _SHARDS_KEPT:
                self._indices.popitem(last=False)
        if index is None:  # another thread needed the room
            self._find([run])
            return self._places(run)
        places: list[list[int]] = index[run.low : run.low + len(run.out)].tolist()
        return places

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise ValueError(
                f"expected the shard {name} in the store {self._files.where}, got no such file; "
                + remedy(self._files.where)
            ) from None
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"expected intact bytes in {name} of the store {self._files.where}, got damaged "
                f"ones ({reason(error)}); {remedy(self._files.where)}"
            ) from None


class Cache:
    """The chunks used last, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit, self.bytes = limit, 0
        self._kept: OrderedDict[tuple[str, int], bytes | NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[str, int]) -> bytes | NDArray[Any] | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: tuple[str, int], item: bytes | NDArray[Any]) -> None:
        size = _bytes(item)
        with self._lock:
            if key in self._kept or size > self._limit:
                return
            self._kept[key] = item
            self.bytes += size
            while self.bytes > self._limit:
                self.bytes -= _bytes(self._kept.popitem(last=False)[1])

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self.bytes = 0


def _runs(array: Sharded, first: int, last: int, *, out: NDArray[Any]) -> Iterator[_Run]:
    """Chunks first to last, shard by shard."""
    for shard in range(first // array.per_shard, -(-last // array.per_shard)):
        low, high = max(first, shard * array.per_shard), min(last, (shard + 1) * array.per_shard)
        yield _Run(array, shard, low - shard * array.per_shard, out[low - first : high - first])


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
        raise ValueError(
            f"expected the array {where} as ingest writes it, got another form; ingest again"
        )
    return int(array.shards[0] // array.chunks[0])


def _bytes(item: bytes | NDArray[Any]) -> int:
    return item.nbytes if isinstance(item, np.ndarray) else len(item)


def _whole(raw: bytes | None, part: Range) -> bytes:
    if raw is None:
        raise FileNotFoundError(part.name)
    if len(raw) != part.size or part.start < 0:
        raise OSError("it is too short")
    return raw


def _checked(raw: bytes, start: int, stop: int) -> bytes:
    """The bytes before the checksum that ends at `stop`."""
    body, stored = raw[start : stop - _CRC], int.from_bytes(raw[stop - _CRC : stop], "little")
    if google_crc32c.value(body) != stored:
        raise OSError("the checksum does not match")
    return body
