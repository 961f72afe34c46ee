"""Short notes between a driver and its workers: files in a folder of both, or Ray's table.

What lives in an object store has no directory that all see; those who work on it are in one
cluster, and its key-value table is read in a millisecond.
"""

from pathlib import Path
from typing import NamedTuple, Protocol

from cluster.storage.places import address_of
from scdfm.screen.atomic import write_text

_SPACE = b"scdfm"


class Notes(Protocol):
    """Notes about one run or sweep, by name."""

    def read(self, name: str) -> str | None:
        """A note; None where there is none."""
        ...

    def write(self, name: str, text: str) -> None:
        """Write a note, in place of an older one."""
        ...

    def forget(self, name: str) -> None:
        """Remove a note, if there is one."""
        ...


class FolderNotes(NamedTuple):
    """Notes as files."""

    folder: Path

    def read(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text()
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        write_text(self.folder / name, text)

    def forget(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)


class ClusterNotes(NamedTuple):
    """Notes in the table of the Ray cluster that this process has joined."""

    about: str  # an address

    def read(self, name: str) -> str | None:
        from ray.experimental.internal_kv import _internal_kv_get

        found: bytes | None = _internal_kv_get(self._key(name), namespace=_SPACE)
        return None if found is None else found.decode()

    def write(self, name: str, text: str) -> None:
        from ray.experimental.internal_kv import _internal_kv_put

        _internal_kv_put(self._key(name), text.encode(), overwrite=True, namespace=_SPACE)

    def forget(self, name: str) -> None:
        from ray.experimental.internal_kv import _internal_kv_del

        _internal_kv_del(self._key(name), namespace=_SPACE)

    def names(self, start: str) -> list[str]:
        """Names of notes that start so, in order."""
        from ray.experimental.internal_kv import _internal_kv_list

        found: list[bytes] = _internal_kv_list(self._key(start), namespace=_SPACE)
        return sorted(key.decode().removeprefix(f"{self.about} ") for key in found)

    def _key(self, name: str) -> bytes:
        return f"{self.about} {name}".encode()


def notes_about(directory: Path) -> Notes:
    """The notes of a run or sweep; in a process of its own, without Ray, they are files."""
    address = address_of(directory)
    if address is None or not _has_ray():
        return FolderNotes(directory)
    return ClusterNotes(address)


def _has_ray() -> bool:
    import ray

    return bool(ray.is_initialized())
