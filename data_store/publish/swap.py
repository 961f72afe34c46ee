"""A directory replaces another in one step: a reader finds the old one or the new one.

Linux exchanges two names in one step. Elsewhere there are two renames, with a short time between
them when nothing is there; the next writer repairs what a process killed at that time left.
"""

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_store.store.schema import MANIFEST, read_manifest
from data_store.store.versions import VERSIONS, folder_of

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def put_in_place(partial: Path, path: Path, *, keep: bool) -> None:
    """Move `partial` to `path`; a store there is removed, or becomes an older version.

    Args:
        partial: What was written, next to `path`.
        path: The place.
        keep: Whether the store at `path` stays readable by its fingerprint.
    """
    if not path.exists():
        partial.rename(path)
        return
    old = leftover(path)
    with locked(path):  # so that nobody takes it for a leftover, whatever its name
        if keep:
            _link_versions(path, partial)
        if exchange(partial, path):
            partial.rename(old)
        else:
            path.rename(old)
            partial.rename(path)
        if keep:
            _give_back(old, path)
        with suppress(FileNotFoundError):  # another writer may have been faster
            remove(old)


def leftover(path: Path) -> Path:
    """Where the old content of a path waits to be removed."""
    return path.with_name(f".{path.name}.old")


def unfinished(path: Path) -> Path:
    """Where the new content of a path is written."""
    return path.with_name(f".{path.name}.partial")


def tidy(path: Path) -> None:
    """Remove, or put back, what a process left that was killed while replacing `path`."""
    for old in (leftover(path), unfinished(path)):
        with (
            suppress(FileNotFoundError, NotADirectoryError, FileExistsError),
            locked(old),
        ):  # or its owner is at work
            if old == leftover(path) and not path.exists():
                old.rename(path)
            else:
                remove(old)


def exchange(first: Path, second: Path) -> bool:
    """Exchange two paths in one step; False if the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if rename(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(first))


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Lock a directory until the block or the process ends. Yields its file descriptor.

    Raises:
        FileExistsError: Another process holds it.
        FileNotFoundError: It does not exist, or another process has just removed it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileExistsError(
                f"another process is writing {folder}; wait for it or stop it"
            ) from None
        # Its owner may have removed it after we opened it: then we hold what nobody sees.
        if not os.path.samestat(os.fstat(handle), folder.stat()):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        yield handle
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Delete a directory or file."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.exists() or path.is_symlink():
        path.unlink()


def _link_versions(path: Path, partial: Path) -> None:
    """Give the new store all versions of the one at `path`, as hard links."""
    own = partial / folder_of(read_manifest(path).fingerprint)
    # Not the older versions; a column of obs may have that name, too.
    shutil.copytree(
        path,
        own,
        copy_function=_link,
        ignore=lambda folder, names: {VERSIONS} if Path(folder) == path else set(),
    )
    for older in sorted((path / VERSIONS).glob("*")):
        shutil.copytree(older, partial / VERSIONS / older.name, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links, or another one
        shutil.copy2(source, target)


def _give_back(old: Path, path: Path) -> None:
    """Make the versions the old directories themselves, so that open readers can continue."""
    own = path / folder_of(read_manifest(old).fingerprint)
    for older in sorted((old / VERSIONS).glob("*")):
        if not exchange(older, path / VERSIONS / older.name):
            return
    shutil.rmtree(old / VERSIONS, ignore_errors=True)
    assert (own / MANIFEST).is_file(), own
    exchange(old, own)
