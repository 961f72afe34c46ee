"""The files of a store, wherever they are: whole, or some bytes of several at once."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import zarr


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


class LocalFiles:
    """A directory."""

    remote = False

    def __init__(self, folder: Path) -> None:
        self.where: Path = folder
        self._prefix = f"{folder}/"

    def read(self, name: str) -> bytes:
        return (self.where / name).read_bytes()

    def ranges(self, wanted: Sequence[Range]) -> list[bytes | None]:
        return [self._range(part) for part in wanted]

    def group(self, name: str) -> Any:
        return zarr.open_group(self.where / name, mode="r")

    def _range(self, part: Range) -> bytes | None:
        try:
            handle = os.open(self._prefix + part.name, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return os.pread(handle, part.size, part.start)
        finally:
            os.close(handle)
