"""Whether all machines see one place: a word is written here and read there, and back."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from cluster.storage.storage import Storage, storage_at
from scdfm.screen.address import url_of

_DRIVER = "driver"
_PATIENCE = 3.0  # seconds that a network file system may take to show a new file


class Nonce(NamedTuple):
    """A word in a folder or an object store, which other machines look for."""

    place: str  # absolute path, or address
    below: str  # the check's own folder in it
    word: str

    @property
    def remedy(self) -> str:
        """What to do where it is not seen."""
        if url_of(self.place) is not None:
            return "give that machine access to it: its network, and credentials there"
        return "name a folder that all nodes mount at the same path"

    def seen(self, node: str) -> str | None:
        """Look for the word on another machine, and leave an answer; the fault, if there is one."""
        try:
            if self._read(_DRIVER) != self.word:
                return "what the driver writes there is not seen"
            self._storage.put(node, self.word.encode())
        except OSError as error:
            return f"cannot be written ({error.strerror or error})"
        except ValueError as error:
            return str(error)
        return None

    def answered(self, node: str) -> bool:
        """Whether the driver sees the answer of a machine."""
        return self._read(node) == self.word

    @property
    def _storage(self) -> Storage:
        return storage_at(f"{self.place.rstrip('/')}/{self.below}")

    def _read(self, name: str) -> str | None:
        deadline = time.monotonic() + _PATIENCE
        storage = self._storage
        while True:
            found = storage.read(name)
            if found is not None:
                return found.content.decode(errors="replace")
            if time.monotonic() > deadline:
                return None
            time.sleep(0.2)


@contextmanager
def nonce(place: Path | str) -> Iterator[Nonce]:
    """Write a word into a place for the time of the block; afterwards all is as it was.

    Raises:
        ValueError: Nothing can be written there.
    """
    address = url_of(place)
    folder = None if address else Path(place).absolute()
    missing = [one for one in (folder, *folder.parents) if not one.exists()] if folder else []
    made = Nonce(address or str(folder), f".scdfm-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex)
    storage = made._storage
    try:
        try:
            storage.put(_DRIVER, made.word.encode())
        except OSError as error:
            raise ValueError(
                f"cannot write to {made.place} ({error.strerror or error}); name another folder "
                "for output, or make this one yours"
            ) from error
        yield made
    finally:
        with suppress(OSError, ValueError):
            storage.remove(storage.names())
        with suppress(OSError):  # others have begun to use it
            for one in [folder / made.below, *missing] if folder else []:
                one.rmdir()
