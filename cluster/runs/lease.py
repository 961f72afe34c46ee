"""One writer for each run: a lock on the driver's machine, a token for workers anywhere.

The lock dies with its process, also by kill -9. Workers can outlive their driver by seconds; before
they write, they check that the run still has the token that they were started with. What lives in
an object store has a lease there instead (`cluster.storage.lease`).
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError

from cluster.storage import lease as stored
from cluster.storage.lease import FILE, Holder, LeaseLostError
from cluster.storage.mirror import mirror_of
from cluster.storage.places import address_of
from cluster.storage.storage import StorageError
from cluster.storage.wanted import Wanted, but_states
from scdfm.screen.folders import in_folder

__all__ = ["FILE", "LeaseLostError", "check", "lease"]


@contextmanager
def lease(directory: Path, *, wanted: Wanted = but_states) -> Iterator[str]:
    """Hold a directory's lease for the time of the block; yields the token.

    A block that fails before it writes anything leaves no new directory behind.

    Args:
        directory: Of a run or sweep.
        wanted: Files to fetch of what lives in an object store; the others stay there.

    Raises:
        ValueError: Another process holds it.
    """
    address = address_of(directory)
    with _local(directory) if address is None else _elsewhere(address, wanted) as token:
        yield token


@contextmanager
def _local(directory: Path) -> Iterator[str]:
    place = directory.resolve()  # in `a/..` the parent of a would pass for one of its folders
    missing = [folder for folder in (place, *place.parents) if not folder.exists()]
    with _locked(directory) as file:
        holder = Holder.me()
        file.truncate(0)
        file.write(holder.model_dump_json(exclude_none=True))
        file.flush()
        try:
            yield holder.token
        except BaseException:
            _discard(place, missing)
            raise


@contextmanager
def _locked(directory: Path) -> Iterator[TextIO]:
    """The lease's file, with the lock on it."""
    path, lock = directory / FILE, fcntl.LOCK_EX | fcntl.LOCK_NB
    while True:
        with in_folder(directory, lambda: path.open("a+")) as file:
            try:
                fcntl.flock(file, lock)
            except BlockingIOError as error:
                raise ValueError(
                    f"{directory} is being written by {_read(directory).in_words}; "
                    "wait for it to end or use another name"
                ) from error
            if _is_at(path, file):
                yield file
                return


def _is_at(path: Path, file: TextIO) -> bool:
    """Whether an open file is what is at a path: who held a lease may just have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _elsewhere(address: str, wanted: Wanted) -> Iterator[str]:
    mirror = mirror_of(address)
    with stored.lease(mirror.storage) as token:
        try:
            mirror.begin(wanted)
            yield token
        except BaseException:
            with suppress(StorageError, ValueError):
                if mirror.forget():
                    mirror.storage.remove([FILE])
            raise
        finally:
            mirror.end()


def check(directory: Path, token: str) -> None:
    """Make sure that the token still holds the directory.

    Raises:
        LeaseLostError: It does not.
    """
    address = address_of(directory)
    if address is not None:
        stored.check(mirror_of(address).storage, token)
    elif _read(directory).token != token:
        raise LeaseLostError(f"{directory} was taken over by {_read(directory).in_words}")


def _discard(directory: Path, missing: list[Path]) -> None:
    """Remove the directory that taking the lease made, if it is still empty."""
    if directory in missing and [path.name for path in directory.iterdir()] == [FILE]:
        (directory / FILE).unlink()
        with suppress(OSError):  # not empty: others use it
            for folder in missing:
                folder.rmdir()


def _read(directory: Path) -> Holder:
    try:
        return Holder.model_validate_json((directory / FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return Holder()
