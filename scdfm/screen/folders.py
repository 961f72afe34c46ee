"""Folders that other processes make at the same time, and remove again where they stay empty."""

import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

# Seconds to get a folder that comes and goes: time, not tries, which are over in a moment.
_PATIENCE = 10.0

Made = TypeVar("Made")


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where they are missing.

    Raises:
        OSError: It cannot be made, or others have removed those above it for 10 s.
    """
    late = time.monotonic() + _PATIENCE
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return
        except (FileNotFoundError, FileExistsError):  # one above it went, or it went itself
            blocked = any(map(_is_in_the_way, (folder, *folder.parents)))
            if blocked or time.monotonic() > late:
                raise


def _is_in_the_way(path: Path) -> bool:
    """Whether something else than a folder is there, which nobody will remove."""
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return path.is_symlink()  # that leads nowhere


def in_folder(folder: Path, make: Callable[[], Made]) -> Made:
    """Make something in a folder, which is made where it is missing; gives what `make` gives.

    Raises:
        OSError: As `make_folder` and `make` do.
    """
    late = time.monotonic() + _PATIENCE
    while True:
        make_folder(folder)
        try:
            return make()
        except FileNotFoundError:  # it went after it was made
            if time.monotonic() > late:
                raise
