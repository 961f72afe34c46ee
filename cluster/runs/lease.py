"""One writer for each run: a lock on the driver's machine, a token for workers anywhere.

The lock dies with its process, also by kill -9. Workers can outlive their driver by seconds; before
they write, they check that the run still has the token that they were started with.
"""

import fcntl
import getpass
import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

FILE = "lease"


class LeaseLostError(RuntimeError):
    """Another process has taken the run over; this one must stop writing."""


@contextmanager
def lease(directory: Path) -> Iterator[str]:
    """Hold a directory's lease for the time of the block; yields the token.

    A block that fails before it writes anything leaves no new directory behind.

    Raises:
        ValueError: Another process holds it.
    """
    place = directory.resolve()  # in `a/..` the parent of a would pass for one of its folders
    missing = [folder for folder in (place, *place.parents) if not folder.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / FILE).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"{directory} is being written by {_holder(directory)}; "
                "wait for it to end or use another name"
            ) from error
        token = uuid.uuid4().hex
        holder = {
            "token": token,
            "user": _user(),
            "host": socket.gethostname(),
            "process": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        file.truncate(0)
        file.write(json.dumps(holder))
        file.flush()
        try:
            yield token
        except BaseException:
            _discard(place, missing)
            raise


def check(directory: Path, token: str) -> None:
    """Make sure that the token still holds the directory.

    Raises:
        LeaseLostError: It does not.
    """
    if _read(directory).get("token") != token:
        raise LeaseLostError(f"{directory} was taken over by {_holder(directory)}")


def _discard(directory: Path, missing: list[Path]) -> None:
    """Remove the directory that taking the lease made, if it is still empty."""
    if directory in missing and [path.name for path in directory.iterdir()] == [FILE]:
        (directory / FILE).unlink()
        with suppress(OSError):  # not empty: others use it
            for folder in missing:
                folder.rmdir()


def _user() -> str:
    """Who runs this process; a container may have no name for its user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _holder(directory: Path) -> str:
    """Who holds the directory, and since when."""
    holder = _read(directory)
    user = f"{holder['user']}@" if "user" in holder else ""
    since = f", since {_said(holder['since'])}" if "since" in holder else ""
    return f"{user}{holder.get('host', '?')} (process {holder.get('process', '?')}){since}"


def _said(moment: str) -> str:
    """A moment in this machine's time, such as "2026-03-01 14:05 UTC"."""
    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M %Z")
    except ValueError:
        return moment


def _read(directory: Path) -> dict[str, str]:
    try:
        content = json.loads((directory / FILE).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}
