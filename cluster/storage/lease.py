"""One writer for each place in an object store: a lease that its holder renews, and that runs out.

A lease that ran out, or whose process on this machine is gone, is taken over. What the old holder
still writes is refused: see `cluster.storage.mirror`.
"""

import getpass
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from cluster.storage.storage import Found, Storage, StorageError, TakenError

log = logging.getLogger(__name__)

FILE = "lease"
SPAN = 45.0  # seconds that a lease lasts
BEAT = 10.0  # seconds until it is renewed
_LOOK = 1.0  # seconds between two looks at a lease that is waited for


class LeaseLostError(RuntimeError):
    """Another process has taken over; this one must stop writing."""


class Holder(BaseModel, frozen=True, extra="allow"):
    """Who holds a place."""

    token: str = ""
    user: str = ""
    host: str = "?"
    process: int | str = "?"
    since: str = ""
    until: float | None = None  # seconds since 1970; none: as long as the process lives
    machine: str | None = None  # whose processes have these numbers
    started: str | None = None  # when the process began, as its machine counts

    @classmethod
    def me(cls, *, until: float | None = None) -> "Holder":
        """This process, from now on."""
        return cls(
            token=uuid.uuid4().hex,
            user=_user(),
            host=socket.gethostname(),
            process=os.getpid(),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            until=until,
            machine=_machine(),
            started=_started(os.getpid()),
        )

    @property
    def in_words(self) -> str:
        """Who it is, and since when."""
        user = f"{self.user}@" if self.user else ""
        since = f", since {_said(self.since)}" if self.since else ""
        return f"{user}{self.host} (process {self.process}){since}"

    @property
    def left(self) -> float:
        """Seconds that the lease lasts, unless it is renewed."""
        if self.machine is not None and self.machine == _machine():
            gone = _started(int(self.process)) != self.started
            if gone:
                return 0.0
        return max(0.0, (self.until or 0.0) - time.time())


@contextmanager
def lease(storage: Storage) -> Iterator[str]:
    """Hold a place for the time of the block; yields the token.

    Raises:
        ValueError: Another process holds it, and renews its lease.
    """
    mine = Holder.me(until=time.time() + SPAN)
    beats = _Beats(storage, mine, tag=_take(storage, mine))
    beats.start()
    try:
        yield mine.token
    finally:
        beats.end()


def check(storage: Storage, token: str) -> None:
    """Make sure that the token still holds a place.

    Raises:
        LeaseLostError: It does not.
    """
    holder = _read(storage.read(FILE))
    if holder.token != token:
        raise LeaseLostError(f"{storage.where} was taken over by {holder.in_words}")


def _take(storage: Storage, mine: Holder) -> str:
    """Write the lease once nobody holds it; its tag."""
    waited: Found | None = None
    while True:
        found = storage.read(FILE)
        holder = _read(found)
        if holder.left <= 0:
            try:
                return storage.put_if(FILE, _text(mine), tag=found and found.tag)
            except TakenError:
                continue
        if waited is not None and found is not None and found.tag != waited.tag:
            raise ValueError(
                f"{storage.where} is being written by {holder.in_words}; "
                "wait for it to end or use another name"
            )
        if waited is None:
            log.info(
                "%s is held by %s; waiting to see whether it lives, for %.0f s",
                storage.where,
                holder.in_words,
                holder.left,
            )
        waited = found
        time.sleep(_LOOK)


class _Beats:
    """Renews a lease, in a thread, until the end."""

    def __init__(self, storage: Storage, holder: Holder, *, tag: str) -> None:
        self._storage, self._holder, self._tag = storage, holder, tag
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._lost = False

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Give the place free, for others at once."""
        self._over.set()
        self._thread.join()
        if not self._lost:
            with suppress(StorageError, ValueError, TakenError):  # then it runs out
                self._write(until=0.0)

    def _run(self) -> None:
        while not self._over.wait(BEAT):
            try:
                self._write(until=time.time() + SPAN)
            except TakenError:
                self._lost = True
                log.warning("%s was taken over; nothing more is written", self._storage.where)
                return
            except (StorageError, ValueError):
                continue  # who writes says so; a network that comes back finds the lease as it was

    def _write(self, *, until: float) -> None:
        renewed = _text(self._holder.model_copy(update={"until": until}))
        self._tag = self._storage.put_if(FILE, renewed, tag=self._tag)


def _read(found: Found | None) -> Holder:
    try:
        return Holder() if found is None else Holder.model_validate_json(found.content)
    except ValidationError:
        return Holder()


def _text(holder: Holder) -> bytes:
    return holder.model_dump_json().encode()


def _user() -> str:
    """Who runs this process; a container may have no name for its user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _said(moment: str) -> str:
    """A moment in this machine's time, such as "2026-03-01 14:05 UTC"."""
    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M %Z")
    except ValueError:
        return moment


def _machine() -> str | None:
    """Whose numbers of processes are meant: a boot of a machine, and a container on it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _started(process: int) -> str | None:
    """When a process began, as its machine counts; None of one that has ended."""
    try:
        state, *rest = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if state == "Z" else rest[18]
