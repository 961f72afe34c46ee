"""Whether all machines see one folder: a word is written here and read there, and back."""

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_DRIVER = "driver"
_PATIENCE = 3.0  # seconds that a network file system may take to show a new file


class Nonce(NamedTuple):
    """A word in a folder, which other machines look for."""

    folder: Path  # absolute
    place: str  # of the check's own folder below it
    word: str

    def seen(self, node: str) -> str | None:
        """Look for the word on another machine, and leave an answer; the fault, if there is one."""
        here = self.folder / self.place
        if _read(here / _DRIVER) != self.word:
            return "what the driver writes there is not seen"
        try:
            (here / node).write_text(self.word)
        except OSError as error:
            return f"cannot be written ({error.strerror})"
        return None

    def answered(self, node: str) -> bool:
        """Whether the driver sees the answer of a machine."""
        return _read(self.folder / self.place / node) == self.word


@contextmanager
def nonce(folder: Path) -> Iterator[Nonce]:
    """Write a word into a folder for the time of the block; afterwards all is as it was.

    Raises:
        ValueError: Nothing can be written there.
    """
    folder = folder.absolute()
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    made = Nonce(folder, f".scdfm-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex)
    try:
        try:
            (folder / made.place).mkdir(parents=True)
            (folder / made.place / _DRIVER).write_text(made.word)
        except OSError as error:
            raise ValueError(
                f"cannot write to {folder} ({error.strerror}); name another folder for output, or "
                "make this one yours"
            ) from error
        yield made
    finally:
        shutil.rmtree(folder / made.place, ignore_errors=True)
        with suppress(OSError):  # others have begun to use it
            for one in missing:
                one.rmdir()


def _read(path: Path) -> str | None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        with suppress(OSError):
            return path.read_text()
        if time.monotonic() > deadline:
            return None
        time.sleep(0.2)
