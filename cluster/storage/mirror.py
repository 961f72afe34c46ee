"""Files that live in an object store, and are worked on in a folder of this process.

The store holds parts, each named by its content, and one index that says which part is which file
now. Parts are sent first, the index last: it alone commits, all files at once. It is written only
over the one that this writer has seen last, so a writer that others have taken over from is refused
and has changed nothing. A reader that finds a part gone reads the index again.
"""

import functools
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import file_digest
from hashlib import sha256 as digest
from pathlib import Path
from threading import RLock
from typing import Literal, NamedTuple

from pydantic import BaseModel, NonNegativeInt, ValidationError

from cluster.storage.lease import LeaseLostError
from cluster.storage.places import address_of, folder_of
from cluster.storage.storage import Found, TakenError, storage_at
from cluster.storage.wanted import STATES, Wanted, everything
from scdfm.screen.atomic import replaced

INDEX, PARTS = "index.json", "parts"
LOG = "log.jsonl"  # the driver's own, while a worker is the writer: beside the index

# Runs in a run's or sweep's folder have an index of their own, shards their own names; the rest is
# of one process only.
_APART = re.compile(r"((folds|members)/\d+|trials|final|(cells|making)\.zarr)/.*")
_NOT_KEPT = re.compile(
    rf"(ray|tune|stalls)/.*|(stop|refusal)\.json|lease|{re.escape(LOG)}|.*-journal|(.*/)?\..*"
)
_SMALL = 32 * 2**20  # bytes; such files may grow while they are sent: journals, curves
_AT_ONCE = 8  # parts on their way
_TRIES = 5  # to read while another process writes


class Entry(BaseModel, frozen=True, extra="forbid"):
    """What a file is."""

    sha256: str
    bytes: NonNegativeInt


class Index(BaseModel, frozen=True, extra="forbid"):
    """All files as they are together."""

    version: Literal[1] = 1
    writer: str  # fences those before it
    number: NonNegativeInt = 0  # of writes
    files: dict[str, Entry] = {}


class _Kept(NamedTuple):
    """A file in the folder, when it was hashed."""

    stat: tuple[int, int, int]
    entry: Entry


class Mirror:
    """The files of one run or sweep, in a store and in a folder of this process."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.folder = folder_of(address)
        self.storage = storage_at(address)
        self._lock = RLock()
        self._index: Index | None = None
        self._tag: str | None = None
        self._writer: str | None = None
        self._known: dict[str, _Kept] = {}
        self._absent: set[str] = set()  # of the index, not fetched

    @property
    def holds(self) -> bool:
        """Whether an index was seen in the store."""
        return self._index is not None

    def names(self) -> list[str]:
        """Names of the files that the store has now."""
        found = self._read()
        return [] if found is None else sorted(found[0].files)

    def has(self, below: str) -> bool:
        """Whether the index that was seen last has files below a folder."""
        return self._index is not None and any(n.startswith(below) for n in self._index.files)

    def fetch(self, wanted: Wanted = everything) -> bool:
        """Make the folder like the store; False if the store has nothing.

        Args:
            wanted: Files to fetch. Of the others those are left in the folder that are as in the
                store; folders of checkpoints are there, if empty.

        Raises:
            ValueError: A part is damaged or missing.
        """
        with self._lock:
            for last in (*[False] * (_TRIES - 1), True):
                found = self._read()
                self._index, self._tag = found or (None, None)
                if found is None:
                    return False
                if self._lay_out(found[0], wanted=wanted, last=last):
                    return True
            return True  # a checkpoint lacks parts, and who reads it says so

    @property
    def writes(self) -> bool:
        """Whether this process is the writer, as far as it knows."""
        return self._writer is not None

    def begin(self, wanted: Wanted = everything) -> None:
        """Make the folder like the store and be its writer; refuse all who were before.

        Args:
            wanted: As in `fetch`; what is not fetched stays in the store.

        Raises:
            LeaseLostError: Others begin to write at the same time.
        """
        with self._lock:
            self._writer = uuid.uuid4().hex
            self.folder.mkdir(parents=True, exist_ok=True)
            for _ in range(_TRIES):
                self.fetch(wanted)
                try:
                    self._put(dict(self._index.files) if self._index else {})
                except LeaseLostError:
                    continue
                self._sweep()
                return
            raise LeaseLostError(f"{self.address} is being written by others")

    def end(self) -> None:
        """Be a reader again."""
        self._writer = None

    def commit(self) -> None:
        """Make the store like the folder; on return everything is kept.

        Raises:
            LeaseLostError: Another process writes now; nothing was changed.
            StorageError: The store could not be reached; nothing was changed.
        """
        with self._lock:
            assert self._writer is not None, "only a writer commits"
            before = self._index.files if self._index else {}
            new: dict[str, Entry] = {name: before[name] for name in self._absent & before.keys()}
            sending: list[Callable[[], None]] = []
            for name in self._here():
                entry, send = self._entry(name)
                new[name] = entry
                if before.get(name) != entry:
                    sending.append(send)
            if new == before:
                return
            _all(sending)
            self._put(new)
            gone = {_part(*one) for one in before.items()} - {_part(*one) for one in new.items()}
            self.storage.remove(sorted(gone))

    def send_log(self) -> None:
        """Send what the driver has said."""
        if (self.folder / LOG).is_file():
            self.storage.put(LOG, (self.folder / LOG).read_bytes())

    def fetch_log(self) -> None:
        """Get what the driver has said, as far as it was sent."""
        found = self.storage.read(LOG)
        if found is not None and not self.writes:
            (self.folder / LOG).write_bytes(found.content)

    def drop(self, below: str) -> None:
        """Let the next commit forget files below a folder that were not fetched."""
        self._absent = {name for name in self._absent if not name.startswith(below)}

    def forget(self) -> bool:
        """Remove the index if it names no file; whether it did."""
        with self._lock:
            if self._index is None or self._index.files:
                return False
            self.storage.remove([INDEX])
            self._index = self._tag = None
            return True

    def _read(self) -> tuple[Index, str] | None:
        found: Found | None = self.storage.read(INDEX)
        if found is None:
            return None
        try:
            return Index.model_validate_json(found.content), found.tag
        except ValidationError:
            raise ValueError(
                f"{self.address}/{INDEX} is damaged, or of a newer version; restore it, or choose "
                "another name"
            ) from None

    def _put(self, files: dict[str, Entry]) -> None:
        assert self._writer is not None
        for last in (False, True):
            number = self._index.number + 1 if self._index else 0
            index = Index(writer=self._writer, number=number, files=dict(sorted(files.items())))
            content = index.model_dump_json(indent=1).encode()
            try:
                self._tag = self.storage.put_if(INDEX, content, tag=self._tag)
            except TakenError:
                # A signal may have ended the wait for an answer, after which the write went on.
                there = self._read()
                if last or there is None or there[0].writer != self._writer:
                    line = f"{self.address} was taken over by another process"
                    raise LeaseLostError(line) from None
                self._index, self._tag = there
            else:
                self._index = index
                return

    def _lay_out(self, index: Index, *, wanted: Wanted, last: bool) -> bool:
        """Fetch what the folder lacks; False if the store has changed meanwhile."""
        self._absent = {
            name
            for name, entry in index.files.items()
            if not wanted(name) and not self._is_here(name, entry)
        }
        for name in self._here():
            if name not in index.files or name in self._absent:
                (self.folder / name).unlink()
        for folder in sorted(self.folder.rglob("*/"), reverse=True):
            with suppress(OSError):  # it is not empty
                folder.rmdir()
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in self._absent:
            if name.startswith(STATES):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        missing: list[str] = []

        def fetch(name: str, entry: Entry) -> None:
            if not self._take(name, entry):
                missing.append(name)

        here = index.files.keys() - self._absent
        _all([functools.partial(fetch, name, index.files[name]) for name in sorted(here)])
        # What is missing of a checkpoint is named by who reads it, and the one before is used.
        broken = [name for name in missing if not name.startswith(STATES)]
        if broken and last:
            raise ValueError(
                f"{self.address} is damaged: the part of {broken[0]} is missing or has other "
                "bytes; restore it, or choose another name"
            )
        return not broken if last else not missing

    def _take(self, name: str, entry: Entry) -> bool:
        """Fetch a file, if the folder does not have it; False if it is not as the index says."""
        path = self.folder / name
        if self._is_here(name, entry):
            return True
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as draft:
            there = self.storage.fetch(_part(name, entry), draft)
            if not there:
                draft.touch()
            whole = there and _sha256(draft) == entry.sha256
        if not there:
            path.unlink()
            return False
        stat = _stat(path)
        if whole and stat is not None:
            self._known[name] = _Kept(stat, entry)
        return whole

    def _is_here(self, name: str, entry: Entry) -> bool:
        """Whether the folder has a file as it is in the store."""
        known = self._known.get(name)
        return (
            known is not None and known.entry == entry and _stat(self.folder / name) == known.stat
        )

    def _here(self) -> list[str]:
        """Names of the files in the folder that belong to the store."""
        names = (path.relative_to(self.folder).as_posix() for path in _files(self.folder))
        return sorted(n for n in names if not (_APART.fullmatch(n) or _NOT_KEPT.fullmatch(n)))

    def _entry(self, name: str) -> tuple[Entry, Callable[[], None]]:
        """What a file is now, and how to send just that."""
        path = self.folder / name
        stat, known = _stat(path), self._known.get(name)
        if known is not None and known.stat == stat:
            entry = known.entry
        elif stat is not None and stat[1] < _SMALL:
            content = path.read_bytes()
            entry = Entry(sha256=digest(content).hexdigest(), bytes=len(content))
            if len(content) == stat[1]:
                self._known[name] = _Kept(stat, entry)
            return entry, lambda: self.storage.put(_part(name, entry), content)
        else:
            entry = Entry(sha256=_sha256(path), bytes=path.stat().st_size)
            if stat is not None:
                self._known[name] = _Kept(stat, entry)
        return entry, lambda: self.storage.send(path, _part(name, entry))

    def _sweep(self) -> None:
        """Remove parts of writers that were killed before they could commit."""
        assert self._index is not None
        used = {_part(name, entry) for name, entry in self._index.files.items()}
        self.storage.remove(part for part in self.storage.names(PARTS) if part not in used)


def mirror_above(path: Path) -> Mirror | None:
    """The mirror that holds a path of this process; None of other paths."""
    addresses = (address_of(folder) for folder in (path, *path.parents))
    mirrors = (mirror_of(address) for address in addresses if address is not None)
    return next((one for one in mirrors if one.holds), None)


@functools.cache
def mirror_of(address: str) -> Mirror:
    """The one mirror that this process has of an address."""
    return Mirror(address)


def publish(folder: Path) -> None:
    """Send what was written in a folder to where it lives; on return it is kept there, all at once.

    Does nothing for a folder that lives here, and for readers.

    Raises:
        LeaseLostError: Another process writes now.
        StorageError: The store could not be reached.
    """
    address = address_of(folder)
    mirror = None if address is None else mirror_of(address)
    if mirror is not None and mirror.writes:
        mirror.commit()


def _part(name: str, entry: Entry) -> str:
    """The name of a part, which follows from its content: two writers cannot differ in it."""
    return f"{PARTS}/{name}.{entry.sha256[:16]}"


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _all(work: Iterable[Callable[[], None]]) -> None:
    """Do everything, some of it at once; raises what went wrong first."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="parts") as pool:
        for done in [pool.submit(one) for one in work]:
            done.result()
