"""Temporary folders for what is sent elsewhere or unpacked; those of killed processes are removed.

A process holds a lock on its folder until it ends; a folder without a lock is not in use.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_store.publish.swap import locked, remove
from scdfm.screen.address import url_of

_PREFIX, _SUFFIX = "scdfm-", ".store"


@contextmanager
def scratch(beside: Path | str | None = None) -> Iterator[Path]:
    """An empty folder on this machine for as long as the block runs.

    Args:
        beside: Where a store will be: the folder is on the same disk. None or a URL means the
            system's place for temporary files.
    """
    place, prefix = Path(tempfile.gettempdir()), _PREFIX
    if beside is not None and url_of(beside) is None:
        parents = (folder for folder in Path(beside).absolute().parents if folder.is_dir())
        place, prefix = next(parents, place), f".{_PREFIX}"
    _sweep(place, prefix=prefix)
    fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    with locked(fresh):
        folder = fresh.rename(fresh.with_name(f"{fresh.name}{_SUFFIX}"))  # what is swept was locked
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(place: Path, *, prefix: str) -> None:
    """Remove what killed processes left."""
    for folder in place.glob(f"{prefix}*{_SUFFIX}"):
        # A writer is at work, another process sweeps too, or it is another user's.
        with suppress(FileNotFoundError, FileExistsError, PermissionError), locked(folder):
            remove(folder)
