"""Open a file by its format; explain why a file has no known format."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_store.disk import hdf5
from data_store.disk.damage import is_told, reason
from data_store.sources.formats.format import Format, Reading
from data_store.sources.formats.registry import FORMATS
from data_store.sources.formats.strangers import what_is
from data_store.sources.source import Source
from scdfm.screen.names import listed

_USUAL = Reading()
# What h5py, zarr and our own code raise where a part of a file is lost or of another kind.
_DAMAGE = (OSError, RuntimeError, KeyError, AttributeError, TypeError, IndexError, ValueError)
_FEW = 5  # names in a message


def open_source(path: Path, *, reading: Reading = _USUAL) -> Source:
    """Open a file of cells in any known format.

    Args:
        path: Of the file or directory; its content tells the format, not its ending.
        reading: What formats are told besides.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It has no known format, is damaged, or may not be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"expected cells at {path}, found no such file; check the path")
    if not os.access(path, os.R_OK):
        raise ValueError(f"expected to read {path}, got no permission; allow it with chmod u+r")
    found = format_of(path)
    if found is None:
        raise ValueError(f"expected {known_formats()}, got {_what_is(path)}")
    try:
        return found.open(path, reading)
    except _DAMAGE as error:
        if is_told(error) or isinstance(error, FileNotFoundError):  # which says what is not there
            raise
        raise ValueError(
            f"expected {found.title} at {path}, got what cannot be read ({reason(error)}); copy "
            "it or write it again"
        ) from error


def format_of(path: Path) -> Format | None:
    """The format of an existing file or directory; None if no format knows it.

    Raises:
        ValueError: A format knows it, but it cannot be used.
    """
    with _readable(path):
        return next((one for _, one in FORMATS.items() if one.holds(path)), None)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn a library's complaint about a file that is only looked at into one line."""
    try:
        yield
    except _DAMAGE as error:
        if is_told(error) or getattr(error, "errno", None) in (errno.ENOENT, errno.EACCES):
            raise  # which says enough
        raise ValueError(
            f"expected to read {path}, got a truncated or damaged file ({reason(error)}); copy or "
            "download it again"
        ) from error


def known_formats() -> str:
    """What may be given: "an .h5ad file, ... or a 10x .h5 file"."""
    *others, last = (one.title for _, one in FORMATS.items())
    return f"{', '.join(others)} or {last}" if others else last


def known_endings() -> tuple[str, ...]:
    """Endings of the names to look for in a folder."""
    return tuple(dict.fromkeys(ending for _, one in FORMATS.items() for ending in one.endings))


def _what_is(path: Path) -> str:
    """What a file or folder is that no format knows, and what to do."""
    if path.is_dir():
        inside = sorted(child.name for child in path.iterdir())
        return (
            f"the directory {path}, which is none of these (it has {listed(inside, most=_FEW)}); "
            "name the file or folder inside it"
        )
    if hdf5.is_hdf5(path):
        with _readable(path), hdf5.looked_at(path) as file:
            names = listed(sorted(file)) if len(file) else "nothing"
        return f"{path}, an HDF5 file that holds {names}; name the file with the cells"
    return f"{path}, which is {what_is(path)}"
