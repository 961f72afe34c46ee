"""HDF5 files opened, or refused with the cause and its remedy; filters from plug-in packages."""

import errno
import os
import re
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import h5py

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SIZES = re.compile(r"truncated file: eof = (\d+).*stored_eof = (\d+)")
_PLUGINS = "hdf5plugin"  # registers the filters below when it is imported
_FILTERS = {
    32000: "LZF",
    32001: "Blosc",
    32004: "LZ4",
    32008: "Bitshuffle",
    32013: "ZFP",
    32015: "Zstd",
    32017: "SZ",
    32026: "Blosc2",
    307: "BZip2",
}


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does; also where another program has locked it."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE or bool(h5py.is_hdf5(path))


def opened(path: Path) -> h5py.File:
    """An HDF5 file to read, all of whose filters are there.

    Raises:
        ValueError: It cannot be read, in one line; names the cause and what to do.
    """
    file = looked_at(path)
    try:
        _require_filters(file, path=path)
    except BaseException:
        file.close()
        raise
    return file


def looked_at(path: Path) -> h5py.File:
    """An HDF5 file to see what is in it, not to read its arrays.

    Raises:
        ValueError: It cannot be opened, in one line; names the cause and what to do.
    """
    try:
        # Some file systems of clusters have no locks.
        return h5py.File(path, mode="r", locking="best-effort")
    except OSError as error:
        raise ValueError(f"expected to read {path}, but {_cause(error)}") from error


def _cause(error: OSError) -> str:
    """Why a file cannot be opened, and what to do."""
    text = str(error)
    if error.errno in (errno.EAGAIN, errno.EACCES) or "unable to lock" in text:
        return (
            "it is open for writing elsewhere; close it there (in a notebook, close the file or "
            "restart the kernel) and run the command again"
        )
    if "already open for write" in text:
        return (
            "the program that wrote it did not close it; write it again, or, if that program has "
            "ended, run: h5clear -s FILE"
        )
    if sizes := _SIZES.search(text):
        return (
            f"it is truncated, {sizes[1]} of {sizes[2]} bytes are there; copy or download it again"
        )
    if error.errno:
        return f"{os.strerror(error.errno)}; check the disk or the network"
    return (
        "it is damaged, or the program that wrote it did not finish; copy, download or write it "
        "again"
    )


def _require_filters(file: h5py.File, *, path: Path) -> None:
    """Load the package with the compression filters that a file needs.

    Raises:
        ValueError: It is not installed, or has no such filter; names both.
    """
    missing = _missing_filters(file)
    if not missing:
        return
    try:
        import_module(_PLUGINS)
    except ImportError:
        remedy = f"install the package that has it, pip install {_PLUGINS}, and run it again"
    else:
        missing = _missing_filters(file)
        remedy = "write the file again with gzip"
    if missing:
        names = ", ".join(_FILTERS.get(one, f"number {one}") for one in sorted(missing))
        raise ValueError(
            f"expected to read {path}, but it is compressed with a filter that is not installed "
            f"({names}); {remedy}"
        )


def _missing_filters(file: h5py.File) -> set[int]:
    """Filters of all arrays of a file that HDF5 does not know."""
    found: set[int] = set()

    def visit(name: str, element: h5py.Group | h5py.Dataset) -> None:
        if isinstance(element, h5py.Dataset):
            made = element.id.get_create_plist()
            found.update(made.get_filter(number)[0] for number in range(made.get_nfilters()))

    with suppress(OSError, RuntimeError, KeyError):  # damaged: reading says where
        file.visititems(visit)
    return {one for one in found if not h5py.h5z.filter_avail(one)}
