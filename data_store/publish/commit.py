"""Stores appear complete or not at all, and every file in them has a hash."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from data_store.disk.room import room_for
from data_store.disk.workers import Workers
from data_store.publish.swap import locked, put_in_place, remove, tidy, unfinished
from data_store.store.schema import CELLS, MANIFEST, ShardRecord
from scdfm.screen.atomic import sha256
from scdfm.screen.folders import make_folder


@contextmanager
def committed(path: Path, *, overwrite: bool = False, append: bool = False) -> Iterator[Path]:
    """A new directory next to `path` that is moved there when the block ends without an error.

    With `append` the existing store becomes an older version of the new one.

    Directories above it are made where they are missing. After an error or
    Ctrl-C, everything new is removed. The next process removes what a killed one left.

    Raises:
        FileExistsError: There is something at `path` already, or another process writes it.
        OSError: The disk is full.
    """
    tidy(path)
    _refuse_file_above(path)
    _refuse_existing(path, overwrite=overwrite or append)
    partial = unfinished(path)
    with room_for(path), _parents(path), _alone(partial):
        for leftover in partial.iterdir():
            remove(leftover)
        try:
            yield partial
            put_in_place(partial, path, keep=append)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def hash_files(folder: Path, *, workers: Workers | None = None) -> tuple[ShardRecord, ...]:
    """Size and sha256 of every file below a folder but the manifest, by path."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST)

    def record(file: Path) -> ShardRecord:
        name = file.relative_to(folder).as_posix()
        return ShardRecord(path=name, bytes=file.stat().st_size, sha256=sha256(file))

    return tuple((workers or Workers()).in_order(record, files))


@contextmanager
def _parents(path: Path) -> Iterator[None]:
    """Make the directories above a path; after an error, remove those again."""
    missing = [parent for parent in path.parents if not parent.exists()]
    make_folder(path.parent)
    try:
        yield
    except BaseException:
        for parent in missing:
            with suppress(OSError):  # not empty: somebody else uses it by now
                parent.rmdir()
        raise


@contextmanager
def _alone(partial: Path) -> Iterator[None]:
    with ExitStack() as stack:
        while True:
            make_folder(partial)
            with suppress(FileNotFoundError):  # another process took it for a leftover: once more
                number = stack.enter_context(locked(partial))
                if os.path.samestat(os.fstat(number), partial.stat()):
                    break
        yield


def _refuse_file_above(path: Path) -> None:
    for parent in path.parents:
        if parent.exists() and not parent.is_dir():
            raise NotADirectoryError(
                f"expected directories above {path}, got the file {parent}; name another place"
            )


def _refuse_existing(path: Path, *, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; choose another name or pass --overwrite")
    if path.is_dir() and any(path.iterdir()) and not _is_ours(path):
        raise FileExistsError(
            f"expected a store at {path} to overwrite, got a directory of something else; "
            "name another place or remove it yourself"
        )


def _is_ours(path: Path) -> bool:
    """Whether a directory is a store, complete or not."""
    return any((path / name).exists() for name in (MANIFEST, CELLS))
