"""One small interface to a place with files: a folder that machines share, or an object store.

A file is written whole or not at all. Two writers of one file meet in `put_if`: it writes only over
what its caller has read, so the second one is told.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from scdfm.screen.address import url_of


class TakenError(RuntimeError):
    """A file is not as its writer has seen it last: another one has written it."""


class StorageError(OSError):
    """A place could not be reached, also after some time."""


class Found(NamedTuple):
    """A file as it was read."""

    content: bytes
    tag: str  # of this very content; for `put_if`


class Storage(Protocol):
    """A place with files, each known by its name below it, such as "model/model.json"."""

    @property
    def where(self) -> str:
        """Path or address."""
        ...

    @property
    def conditional(self) -> bool:
        """Whether `put_if` compares and writes in one step.

        Where it does not, two writers within the same fraction of a second can both believe that
        they have written.
        """
        ...

    def read(self, name: str) -> Found | None:
        """A whole file; None where there is none."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Write a file, whatever is there."""
        ...

    def put_if(self, name: str, content: bytes, *, tag: str | None) -> str:
        """Write a file if it is still the one that was read; the tag of what is written.

        Args:
            name: Of the file.
            content: For it.
            tag: As it was read; None: there was no such file.

        Raises:
            TakenError: Another writer was first.
        """
        ...

    def send(self, file: Path, name: str) -> None:
        """Write a file from one on this machine, of any size."""
        ...

    def fetch(self, name: str, file: Path) -> bool:
        """Read a file of any size into one on this machine; False where there is none."""
        ...

    def names(self, below: str = "") -> list[str]:
        """Names of all files, or of those below a folder."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; some may be gone already."""
        ...


def storage_at(place: Path | str) -> Storage:
    """The storage at a path or address.

    Raises:
        ValueError: No driver for such addresses is installed, or they can only be read.
    """
    address = url_of(place)
    if address is None:
        from cluster.storage.folder import Folder

        return Folder(Path(place))
    from cluster.storage.objects import Objects  # with fsspec, which most runs do not need

    return Objects(address)
