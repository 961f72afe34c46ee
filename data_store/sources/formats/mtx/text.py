"""The text of a Matrix Market file, plain or gzip: its head, and its entries in bounded blocks.

After the head (`%%MatrixMarket matrix coordinate integer general`, comments, then the numbers of
rows, columns and entries) every line is an entry: row, column, value, counted from 1.

Source: Boisvert, Pozo and Remington, "The Matrix Market Exchange Formats", NISTIR 5935 (1996).
"""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from data_store.disk.damage import DamagedError
from data_store.sources.formats.entries import Entries

MARK = b"%%MatrixMarket"
_LINE = 6  # bytes of the shortest entry, "1 1 1\n"
_HEAD = 1 << 16  # bytes; no head is longer, and no line
_END = 10  # of a line


@dataclass(frozen=True)
class MtxText:
    """A Matrix Market file; every look at it begins anew."""

    path: Path
    rows: int
    columns: int
    entries: int
    real: bool  # the values may be fractions
    begin: int  # byte of the first entry, in the text

    def blocks(self, *, entries: int) -> Iterator[Entries]:
        """All entries as they stand, at most so many at once.

        Raises:
            DamagedError: A line is not an entry, or there are fewer or more than the head says.
        """
        read = 0
        for text in self._texts(max(1, entries) * _LINE):
            block = self._parsed(text, entries=read)
            read += len(block.rows)
            yield block
        self._require_all(read)

    def _texts(self, size: int) -> Iterator[NDArray[np.uint8]]:
        """Whole lines, of about so many bytes; each is there until the next is asked for."""
        # One place for all: to ask the system for new memory each time costs as much as to read.
        buffer = np.empty(size + _HEAD + 1, dtype=np.uint8)
        place, held = buffer.data, 0
        with opened(self.path) as stream:
            stream.read(self.begin)
            while True:
                came = stream.readinto(place[held : held + size])  # type: ignore[attr-defined]
                stop = held + came
                if not came and held:
                    buffer[stop] = _END
                    stop += 1
                ends = np.flatnonzero(buffer[max(0, stop - _HEAD) : stop][::-1] == _END)
                if not len(ends) and stop > _HEAD:
                    raise DamagedError("it has lines of thousands of characters")
                whole = stop - int(ends[0]) if len(ends) else 0
                if whole:
                    yield buffer[:whole]
                if not came:
                    return
                held = stop - whole
                buffer[:held] = buffer[whole:stop].copy()

    def _parsed(self, text: NDArray[np.uint8], *, entries: int) -> Entries:
        block = _quick(text, real=self.real) or _slow(text.tobytes(), real=self.real)
        if block is None:
            kind = "numbers" if self.real else "whole numbers below 2^31"
            line = _culprit(text.tobytes(), real=self.real)
            raise DamagedError(f"{line} after its first {entries} entries is not three {kind}")
        for name, places, limit in (
            ("row", block.rows, self.rows),
            ("column", block.columns, self.columns),
        ):
            if len(places) and not 0 <= places.min() <= places.max() < limit:
                wrong = places[(places < 0) | (places >= limit)][0] + 1
                raise DamagedError(f"an entry is in {name} {wrong}, the head says {limit} {name}s")
        return block

    def _require_all(self, read: int) -> None:
        if read != self.entries:
            what = "it is truncated" if read < self.entries else "its head is wrong"
            raise DamagedError(
                f"its head promises {self.entries} entries, {read} are there: {what}"
            )


def head(path: Path) -> MtxText:
    """The sizes of a Matrix Market file.

    Raises:
        DamagedError: It is not one, or not of numbers at places (`coordinate`, `general`).
    """
    with opened(path) as stream:
        lines = stream.read(_HEAD).splitlines(keepends=True)
    first = lines[0].split() if lines else []
    if not first or first[0].lower() != MARK.lower():
        raise DamagedError(f"it does not begin with {MARK.decode()}")
    kinds = [word.decode(errors="replace").lower() for word in first[1:]]
    if len(kinds) != 4 or kinds[:2] != ["matrix", "coordinate"] or kinds[3] != "general" or (
        kinds[2] not in ("integer", "real", "double")
    ):  # fmt: skip
        raise DamagedError(
            f"its first line says {' '.join(kinds) or 'nothing'}, where matrix coordinate integer "
            "(or real) general is expected"
        )
    begin = len(lines[0])
    for line in lines[1:]:
        begin += len(line)
        if line.strip() and not line.startswith(b"%"):
            break
    else:
        raise DamagedError("the line with its sizes is missing")
    sizes = line.split()
    if len(sizes) != 3 or not all(size.isdigit() for size in sizes):
        raise DamagedError(f"{_shown(line)} should be its numbers of rows, columns and entries")
    rows, columns, entries = map(int, sizes)
    return MtxText(path, rows, columns, entries, real=kinds[2] != "integer", begin=begin)


class _Gzip(gzip.GzipFile):
    """A gzip file whose damage is told in our words."""

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(size)
        except EOFError:
            raise DamagedError("it is a gzip file that ends too early: it is truncated") from None
        except (zlib.error, gzip.BadGzipFile):
            raise DamagedError("it is a gzip file whose bytes are damaged") from None


def opened(path: Path) -> IO[bytes]:
    """A file as it is, or the content of a gzip file."""
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return _Gzip(path) if packed else path.open("rb")  # type: ignore[return-value]


def _quick(text: NDArray[np.uint8], *, real: bool) -> Entries | None:
    """Entries of plain digits; None where a line has anything else, such as a long fraction."""
    from data_store.sources.formats.mtx import lines  # which compiles

    most = len(text) // _LINE + 1
    rows, columns = np.empty(most, dtype=np.int32), np.empty(most, dtype=np.int32)
    values = np.empty(most, dtype=np.float64 if real else np.int32)
    found = lines.parse(text, rows, columns, values, real)
    return Entries(rows[:found], columns[:found], values[:found]) if found >= 0 else None


def _slow(text: bytes, *, real: bool) -> Entries | None:
    """Entries in any notation of numbers; None if a line is not three numbers."""
    if any(len(line.split()) not in (0, 3) for line in text.splitlines()):
        return None
    try:
        numbers = np.array(text.split(), dtype="S").reshape(-1, 3)
        places = numbers[:, :2].astype(np.int64) - 1
        values = numbers[:, 2].astype(np.float64)
    except (ValueError, OverflowError):
        return None
    if not real:
        if (np.abs(values) >= 2**31).any() or (values != np.trunc(values)).any():
            return None
        values = values.astype(np.int32)
    places = np.clip(places, -1, 2**31 - 1).astype(np.int32)
    return Entries(np.ascontiguousarray(places[:, 0]), np.ascontiguousarray(places[:, 1]), values)


def _culprit(text: bytes, *, real: bool) -> str:
    """The first line that is not an entry."""
    lines = (line for line in text.splitlines() if line.strip())
    return next((_shown(line) for line in lines if _slow(line, real=real) is None), "a line")


def _shown(line: bytes) -> str:
    return repr(line.strip()[:40].decode(errors="replace"))
