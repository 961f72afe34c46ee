"""The files of a store, wherever they are: whole, or some bytes of several at once."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Protocol

import zarr

_OPEN = 256  # files; a process may open 1,024, mostly


class Range(NamedTuple):
    """Some bytes of a file."""

    name: str  # of the file, relative to the store
    start: int
    size: int


class Files(Protocol):
    """Where a store is, and how its bytes are had."""

    remote: bool

    @property
    def where(self) -> Path | str:
        """The directory or URL."""
        ...

    def read(self, name: str) -> bytes:
        """A whole file.

        Raises:
            FileNotFoundError: It is not there.
        """
        ...

    def ranges(self, wanted: Sequence[Range]) -> list[bytes | None]:
        """Some bytes of files: fewer than asked for where a file ends, None where there is none."""
        ...

    def group(self, name: str) -> Any:
        """A zarr group, to read."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class LocalFiles:
    """A directory. Files that were read last stay open: to open one takes as long as to read it."""

    remote = False

    def __init__(self, folder: Path) -> None:
        self.where: Path = folder
        self._prefix = f"{folder}/"
        self._handles: OrderedDict[str, _Handle] = OrderedDict()
        self._lock = Lock()

    def read(self, name: str) -> bytes:
        return (self.where / name).read_bytes()

    def ranges(self, wanted: Sequence[Range]) -> list[bytes | None]:
        return [self._range(part) for part in wanted]

    def group(self, name: str) -> Any:
        return zarr.open_group(self.where / name, mode="r")

    def close(self) -> None:
        with self._lock:
            self._handles.clear()

    def _range(self, part: Range) -> bytes | None:
        try:
            handle = self._handle(part.name)
        except FileNotFoundError:
            return None
        return os.pread(handle.number, part.size, part.start)

    def _handle(self, name: str) -> "_Handle":
        with self._lock:
            handle = self._handles.get(name)
            if handle is None:
                handle = self._handles[name] = _Handle(self._prefix + name)
            self._handles.move_to_end(name)
            while len(self._handles) > _OPEN:
                self._handles.popitem(last=False)
            return handle


class _Handle:
    """An open file. It is closed when nobody holds it: another thread may still be reading."""

    def __init__(self, path: str) -> None:
        self.number = -1
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)
