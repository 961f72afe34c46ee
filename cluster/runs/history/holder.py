"""Who works on a run now, as far as another process can see it without taking its lock."""

import os
import socket
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cluster.runs.lease import FILE
from cluster.storage.lease import Holder as Lease
from cluster.storage.mirror import mirror_of
from cluster.storage.places import address_of

_LOCKS = Path("/proc/locks")


class Holder(NamedTuple):
    """Who has taken a run's lease last."""

    host: str
    process: int
    since: float  # seconds since 1970
    alive: bool | None  # none: it is on another machine

    @property
    def words(self) -> str:
        """Where it is, and since when."""
        return f"process {self.process} on {self.host}, since {moment(self.since)}"


def holder(directory: Path) -> Holder | None:
    """Who holds a run, or held it last; None: nobody ever did, or nothing can be read.

    Raises:
        StorageError: The object store that the run is in cannot be reached.
    """
    address = address_of(directory)
    found = None if address is None else mirror_of(address).storage.read(FILE)
    try:
        text = (directory / FILE).read_bytes() if found is None else found.content
        told = Lease.model_validate_json(text)
        process, since = int(told.process), datetime.fromisoformat(told.since).timestamp()
    except (OSError, ValueError):
        return None
    if found is not None:
        return Holder(told.host, process, since, told.left > 0)
    here = told.host == socket.gethostname()
    return Holder(told.host, process, since, _holds(directory / FILE, process) if here else None)


def moment(time: float) -> str:
    """A moment in this machine's time; its date unless it is today's."""
    then = datetime.fromtimestamp(time)
    today = then.date() == datetime.now().date()
    return then.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")


def _holds(path: Path, process: int) -> bool:
    """Whether the lock of a lease is held; the kernel lists locks, so none need be tried."""
    try:
        number, locks = path.stat().st_ino, _LOCKS.read_text()
    except OSError:
        return _lives(process)
    return any(
        fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(number)
        for fields in map(str.split, locks.splitlines())
        if len(fields) > 5
    )


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
