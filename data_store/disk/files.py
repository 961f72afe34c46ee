"""The files of a store, local or remote: whole files, or some bytes of several at once."""

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Protocol

import zarr

_OPEN = 256  # files; a process may open 1,024, mostly


class UnreachableError(ValueError):
    """A file of a store could not be read over the network."""


class Range(NamedTuple):
    """Some bytes of a file."""

    name: str  # of the file, relative to the store
    start: int
    size: int


class Files(Protocol):
    """Where a store is, and how its bytes are read."""

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

    def read_all(self, names: Sequence[str]) -> list[bytes | None]:
        """Several whole files; None for a missing one."""
        ...

    def ranges(self, wanted: Sequence[Range]) -> list[bytes | None]:
        """Some bytes of files: fewer where a file ends, None for a missing file."""
        ...

    def group(self, name: str) -> Any:
        """A zarr group, to read."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class LocalFiles:
    """A directory. Files read last stay open, because opening one takes as long as reading it.

    The directory itself stays open, too: when another store replaces it, as with `--append`, reads
    still come from the one that was opened.
    """

    remote = False

    def __init__(self, folder: Path) -> None:
        self.where: Path = folder
        self._folder: _Handle | None = None
        with suppress(FileNotFoundError, NotADirectoryError):  # who reads from it will say so
            self._folder = _Handle(folder)
        self._handles: OrderedDict[str, _Handle] = OrderedDict()
        self._lock = Lock()

    def read(self, name: str) -> bytes:
        with open(name, "rb", opener=self._open) as file:
            return file.read()

    def read_all(self, names: Sequence[str]) -> list[bytes | None]:
        return [self._read_or_none(name) for name in names]

    def ranges(self, wanted: Sequence[Range]) -> list[bytes | None]:
        return [self._range(part) for part in wanted]

    def group(self, name: str) -> Any:
        held = Path(f"/proc/self/fd/{self._folder.number}") if self._folder else self.where
        return zarr.open_group((held if held.exists() else self.where) / name, mode="r")

    def size(self, name: str) -> int | None:
        """Bytes of a file, None where there is none."""
        number = self._folder.number if self._folder else None
        try:
            found = os.stat(name if self._folder else self.where / name, dir_fd=number)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def close(self) -> None:
        with self._lock:
            self._handles.clear()

    def _read_or_none(self, name: str) -> bytes | None:
        try:
            return self.read(name)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _open(self, name: str, flags: int) -> int:
        if self._folder is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.where))
        return os.open(name, flags, dir_fd=self._folder.number)

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
                handle = self._handles[name] = _Handle(name, inside=self._folder)
            self._handles.move_to_end(name)
            while len(self._handles) > _OPEN:
                self._handles.popitem(last=False)
            return handle


class _Handle:
    """An open file. It is closed when nobody uses it: another thread may still be reading."""

    def __init__(self, path: Path | str, *, inside: "_Handle | None" = None) -> None:
        self.number = -1
        folder = inside.number if inside else None
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)
