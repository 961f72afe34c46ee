"""log.jsonl: what the driver of a run said, and the error that ended its work.

Workers that wait for room, a node that died, a worker that started again: who looks at the run
from elsewhere, or later, finds it here. Lines are only added. Of a run in an object store the
driver sends the file there, beside what the workers commit, in a thread of its own: a store that
cannot be reached holds nobody up.
"""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from cluster.runs.stop import StoppedError
from cluster.storage.mirror import mirror_of
from cluster.storage.places import address_of
from cluster.storage.storage import Storage

FILE = "log.jsonl"
BEGINS, ENDS = "begins", "ends"  # levels of a driver's first line, and of its last unless killed
_LEVELS = {logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error"}
_HOUSE = ("scdfm", "data_store", "cluster", "sweeps")  # loggers that speak to the user
_LONGEST = 1_000  # characters
_SENDING = 2.0  # seconds for the last lines


class SaidLine(TypedDict):
    """A line."""

    time: float  # seconds since 1970
    level: str  # begins, info, warning, error or ends
    said: str


@dataclass(frozen=True)
class Said:
    """A run's log.jsonl.

    Attributes:
        path: Where it is.
        once: A file of the run; nothing is written before it is there, since a run that was
            refused leaves nothing behind.
    """

    path: Path
    once: Path

    def lines(self) -> Iterator[SaidLine]:
        """The whole lines; those that a kill has torn are left out."""
        for text in self._content().decode(errors="replace").splitlines():
            with suppress(json.JSONDecodeError, AttributeError):
                line = json.loads(text)
                if SaidLine.__required_keys__ <= line.keys():
                    yield line

    @property
    def store(self) -> Storage | None:
        """The object store that the run is in."""
        address = address_of(self.path.parent)
        return None if address is None else mirror_of(address).storage

    def _content(self) -> bytes:
        store = self.store
        found = None if store is None else store.read(FILE)
        if found is not None:
            return found.content
        return self.path.read_bytes() if self.path.is_file() else b""

    def newest(self) -> list[SaidLine]:
        """The lines of the last driver; the first says that it begins."""
        lines = list(self.lines())
        begun = [place for place, line in enumerate(lines) if line["level"] == BEGINS]
        return lines[max(begun, default=0) :]

    @contextmanager
    def kept(self, *, reason: Callable[[BaseException], str] = str) -> Iterator[Callable[[], None]]:
        """Keep what our packages say during the block, and the error that ends it.

        Args:
            reason: Says of an error why, in a line.

        Yields:
            What to call once the run is there: writes what was said before.
        """
        keeper = _Keeper(self)
        me = f"process {os.getpid()} on {socket.gethostname()}"
        keeper.write(BEGINS, me)
        loggers = [logging.getLogger(name) for name in _HOUSE]
        for logger in loggers:
            logger.addHandler(keeper)
        try:
            yield keeper.catch_up
        except (KeyboardInterrupt, StoppedError):
            keeper.write("info", "stopped")
            raise
        except Exception as error:
            keeper.write("error", reason(error) or type(error).__name__)
            raise
        finally:
            for logger in loggers:
                logger.removeHandler(keeper)
            keeper.write(ENDS, me)
            keeper.end()


class _Keeper(logging.Handler):
    """Writes log records; keeps them as long as there is no run yet."""

    def __init__(self, said: Said) -> None:
        super().__init__(logging.INFO)
        self._said = said
        self._early: list[SaidLine] = []
        self._one = threading.Lock()
        store = said.store
        self._sender = None if store is None else _Sender(said.path, store)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        level = max(known for known in _LEVELS if known <= record.levelno)
        self.write(_LEVELS[level], record.getMessage())

    def write(self, level: str, text: str) -> None:
        """Write a line; a disk that takes none stops no work."""
        line = " ".join(text.split())[:_LONGEST]
        with self._one, suppress(OSError):
            self._early.append({"time": round(time.time(), 3), "level": level, "said": line})
            self._write()

    def catch_up(self) -> None:
        """Write what waits for the run."""
        with self._one, suppress(OSError):
            self._write()

    def _write(self) -> None:
        if self._said.once.is_file() and self._early:
            with self._said.path.open("a") as file:
                file.write("".join(json.dumps(early) + "\n" for early in self._early))
            self._early.clear()
            if self._sender is not None:
                self._sender.new.set()

    def end(self) -> None:
        """Have the last lines sent, if that is soon done."""
        if self._sender is not None:
            self._sender.over = True
            self._sender.new.set()
            self._sender.thread.join(_SENDING)


class _Sender:
    """Sends a file to a store whenever it is longer, in a thread.

    Attributes:
        new: Is set when it is.
        over: Is set, before that, when it was the last time.
    """

    def __init__(self, path: Path, store: Storage) -> None:
        self._path, self._store = path, store
        self.new, self.over = threading.Event(), False
        self.thread = threading.Thread(target=self._send, name="log", daemon=True)
        self.thread.start()

    def _send(self) -> None:
        over = False
        while not over:
            self.new.wait()
            self.new.clear()
            over = self.over  # what is written while a file is sent goes with another round
            # What could not be sent goes with the next line.
            with suppress(OSError, ValueError):
                self._store.put(FILE, self._path.read_bytes())
