"""One store that stays open in a process that does many runs on it.

What was derived from it stays with it (`Store.once`). It is opened anew when another store, another
version, or another folder of that name is wanted or there: a manifest is read for each use.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple, Protocol

from data_store.store.reader import Store
from data_store.store.remote import open_files
from data_store.store.schema import MANIFEST
from scdfm.screen.address import url_of


class OpenStore(Protocol):
    """How a store is opened for some work, after which the caller leaves it."""

    def __call__(
        self, path: Path | str, *, fingerprint: str | None = None
    ) -> AbstractContextManager[Store]:
        """A store to work on; as `Store.open`."""
        ...


class _Place(NamedTuple):
    """What tells whether a store is the one that is open.

    Attributes:
        path: Its absolute path, or URL.
        asked: Fingerprint of the version that was asked for; none: the newest.
        manifest: Of the newest version.
        folder: Device and inode; none behind a URL.
    """

    path: str
    asked: str | None
    manifest: bytes
    folder: tuple[int, int] | None


class KeptStore:
    """Keeps the last store open that was asked for. For one thread that opens stores."""

    def __init__(self) -> None:
        self._place: _Place | None = None
        self._store: Store | None = None

    def __call__(
        self, path: Path | str, *, fingerprint: str | None = None
    ) -> AbstractContextManager[Store]:
        """The store that is open, or another, which then takes its place; it stays open.

        Raises:
            FileNotFoundError, ValueError: As `Store.open`.
        """
        place = _place(path, fingerprint)
        if self._store is None or place is None or place != self._place:
            self.close()
            self._store, self._place = Store.open(path, fingerprint=fingerprint), place
        return nullcontext(self._store)

    def close(self) -> None:
        """Close what is open."""
        if self._store is not None:
            self._store.close()
        self._store = self._place = None


def _place(path: Path | str, asked: str | None) -> _Place | None:
    """What is there now; None where that is no store, which opening it will tell."""
    url = url_of(path)
    files = open_files(path)
    try:
        manifest = files.read(MANIFEST)
        status = None if url else os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    finally:
        files.close()
    folder = None if status is None else (status.st_dev, status.st_ino)
    return _Place(url or str(Path(path).absolute()), asked, manifest, folder)
