"""Open a file by its format; explain why a file has no known format."""

import os
from pathlib import Path

import h5py

from data_store.sources.formats.format import Format
from data_store.sources.formats.registry import FORMATS
from data_store.sources.source import Source, one_line


def open_source(path: Path) -> Source:
    """Open a file of cells in any known format.

    Args:
        path: Of the file or directory; its content tells the format, not its ending.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It has no known format, is damaged, may not be read, or repeats gene names.
    """
    if not path.exists():
        raise FileNotFoundError(f"expected cells at {path}, found no such file; check the path")
    if not os.access(path, os.R_OK):
        raise ValueError(f"expected to read {path}, got no permission; allow it with chmod u+r")
    found = format_of(path)
    if found is None:
        raise ValueError(f"expected {known_formats()}, got {_what_is(path)}")
    try:
        return found.open(path)
    except (OSError, RuntimeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"expected {found.title} at {path}, got what cannot be read ({one_line(error)}); copy "
            "it or write it again"
        ) from None


def format_of(path: Path) -> Format | None:
    """The format of an existing file or directory; None if no format knows it.

    Raises:
        ValueError: A format knows it, but it cannot be used.
    """
    return next((one for _, one in FORMATS.items() if one.holds(path)), None)


def known_formats() -> str:
    """What may be given: "an .h5ad file, ... or a 10x .h5 file"."""
    *others, last = (one.title for _, one in FORMATS.items())
    return f"{', '.join(others)} or {last}" if others else last


def known_endings() -> tuple[str, ...]:
    """Endings of the names to look for in a folder."""
    return tuple(dict.fromkeys(ending for _, one in FORMATS.items() for ending in one.endings))


def _what_is(path: Path) -> str:
    """What a file is that no format knows, and what to do."""
    if path.is_dir():
        return f"the directory {path}, which holds none; name the file inside it"
    if path.stat().st_size == 0:
        return f"{path}, which is empty; check or download it again"
    try:
        with h5py.File(path) as file:
            names = ", ".join(sorted(file)) or "nothing"
    except OSError as error:
        what = "truncated" if "truncated" in str(error) else "none of these"
        return f"{path}, which is {what}; check or download it again"
    return f"{path}, an HDF5 file that holds {names}; name the file with the cells"
