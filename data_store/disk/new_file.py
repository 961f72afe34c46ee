"""A file that a user named: it appears complete, and replaces nothing unless asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_store.disk.room import room_for
from scdfm.screen.atomic import replaced, require_writable


@contextmanager
def committed_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A draft that is moved to `path` when the block ends without an error.

    Raises:
        FileExistsError: A file or directory exists already.
        FileNotFoundError: Its directory does not exist.
        PermissionError: Nothing can be written there.
        OSError: The disk is full.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"expected a directory {path.parent} for {path.name}, got none; create it"
        )
    if path.is_dir():
        raise FileExistsError(f"expected a file name, got the directory {path}; name a file in it")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; choose another name or pass --overwrite")
    require_writable(path.parent)
    with room_for(path), replaced(path) as draft:
        yield draft
