"""A worker that takes no step writes down where it stands, and ends, so that it is started again.

The watchdog is a thread of C (faulthandler): it acts also where Python's lock is never released.
"""

import faulthandler
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from scdfm.screen.folders import in_folder

FOLDER = "stalls"  # in the directory of a run or sweep
_OFTEN = 20  # times in the allowed span that the watchdog is wound up, at most
_FRAMES = 3  # calls that a line tells


class Watchdog:
    """Ends this process when `step` was not called for so long.

    Args:
        seconds: Allowed span; None: for ever.
        file: Descriptor to which the stacks go.
    """

    def __init__(self, seconds: float | None = None, *, file: int = 2) -> None:
        self._seconds, self._file = seconds, file
        self._wound = 0.0

    def step(self) -> None:
        """Tell that the work goes on."""
        if self._seconds is None:
            return
        now = time.monotonic()
        if now - self._wound > self._seconds / _OFTEN:
            self._wound = now
            faulthandler.dump_traceback_later(self._seconds, exit=True, file=self._file)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Wait for another worker, whose own watchdog is awake."""
        self.rest()
        try:
            yield
        finally:
            self._wound = 0.0
            self.step()

    def rest(self) -> None:
        """Watch no more until the next step."""
        if self._seconds is not None:
            faulthandler.cancel_dump_traceback_later()


@contextmanager
def watched(directory: Path, *, who: str, seconds: float) -> Iterator[Watchdog]:
    """A watchdog for the time of the block; a process can have one.

    Args:
        directory: Of the run or sweep; the stacks go to a file below it.
        who: Works here, such as "worker 0".
        seconds: Without a step, until the process ends.
    """
    path = directory / FOLDER / f"{who.replace(' ', '-')}-{os.getpid()}.txt"
    # Others remove the folder as soon as it is empty.
    with in_folder(path.parent, lambda: path.open("w")) as file:
        file.write(f"{who}, {seconds:g} s, thread 0x{threading.get_ident():016x}\n")
        file.flush()
        dog = Watchdog(seconds, file=file.fileno())
        dog.step()
        try:
            yield dog
        finally:
            dog.rest()
            path.unlink(missing_ok=True)
            with suppress(OSError):  # others are there
                path.parent.rmdir()


class Stall(NamedTuple):
    """A worker that took no step."""

    who: str
    seconds: float
    at: tuple[str, ...]  # the innermost calls of its training, such as "next in feed.py:31"
    file: Path  # with the stacks of all its threads

    @property
    def line(self) -> str:
        """What is told of it."""
        return (
            f"{self.who} took no step for {self.seconds:g} s and was ended; it was in "
            f"{' < '.join(self.at) or 'unknown code'}; all its stacks: {self.file}"
        )


def stalls(directory: Path, *, known: set[Path]) -> Iterator[Stall]:
    """Stalled workers that a directory tells of; adds their files to the known ones."""
    for path in sorted((directory / FOLDER).glob("*.txt")):
        stall = None if path in known else _read(path)
        if stall is not None:
            known.add(path)
            yield stall


def forget_living(directory: Path) -> None:
    """Remove files of workers that did not stall, but were killed; none may work here now."""
    folder = directory / FOLDER
    for path in folder.glob("*.txt"):
        if _read(path) is None:
            path.unlink(missing_ok=True)
    with suppress(OSError):  # there are stalls, or nothing at all
        folder.rmdir()


def _read(path: Path) -> Stall | None:
    """What a file tells; None of a worker that goes on, or was killed by others."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return None
    first = re.match(r"(.+), (\S+) s, thread (\w+)\n", text)
    if first is None or "Timeout (" not in text:
        return None
    # Python writes threads one after another, the innermost call of each first.
    _, _, mine = text.partition(f"Thread {first[3]}")
    frames = re.findall(r'File "([^"]+)", line (\d+) in (\S+)', mine.partition("\n\n")[0])
    at = tuple(f"{call} ({Path(file).name}:{line})" for file, line, call in frames[:_FRAMES])
    return Stall(first[1], float(first[2]), at, path)
