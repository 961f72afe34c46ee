"""Temporary folders for stores that are sent elsewhere, and those that killed processes left.

A process holds a lock on its folder until it ends; a folder without a lock is not in use.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_store.publish.swap import locked, remove

_PREFIX, _SUFFIX = "scdfm-", ".store"


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder on this machine for as long as the block runs."""
    _sweep(Path(tempfile.gettempdir()))
    fresh = Path(tempfile.mkdtemp(prefix=_PREFIX))
    with locked(fresh):
        folder = fresh.rename(fresh.with_suffix(_SUFFIX))  # what is swept has been locked before
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove what killed processes left."""
    for folder in place.glob(f"{_PREFIX}*{_SUFFIX}"):
        # A writer is at work, another process sweeps too, or it is another user's.
        with suppress(FileNotFoundError, FileExistsError, PermissionError), locked(folder):
            remove(folder)
