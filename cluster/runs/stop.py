"""A request to stop, as a note about a run: a driver asks, its workers answer.

Workers look for it after every step, and between the units of a validation round. They keep the
training state, answer which step that was, and leave.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from cluster.storage.notes import Notes, notes_about

FILE = "stop.json"
_TICK = 0.05  # seconds between two looks for an answer
_KEPT = "kept"


class StoppedError(RuntimeError):
    """Training was asked to stop before it was done, and has; its last step is kept."""


_open: "list[Stoppable]" = []  # of this process


@dataclass(frozen=True)
class Stop:
    """The request about what is in a directory."""

    directory: Path

    @property
    def asked(self) -> bool:
        """Whether the workers are to stop."""
        return self._notes.read(FILE) is not None

    def ask(self) -> None:
        """Ask the workers to stop."""
        self._notes.write(FILE, json.dumps({_KEPT: None}))

    def answer(self, step: int) -> None:
        """Say that the state after a step is kept."""
        self._notes.write(FILE, json.dumps({_KEPT: step}))

    @property
    def kept(self) -> int | None:
        """The step that was kept because of the request; None before that."""
        text = self._notes.read(FILE)
        kept: int | None = None if text is None else json.loads(text)[_KEPT]
        return kept

    def forget(self) -> None:
        """Remove what an earlier session has left."""
        self._notes.forget(FILE)

    @property
    def _notes(self) -> Notes:
        return notes_about(self.directory)


class Stoppable(Protocol):
    """What this process has workers for: a run, or the trials of a sweep."""

    @property
    def learning(self) -> bool:
        """Whether workers have begun."""

    def ask(self) -> None:
        """Ask them to stop."""

    @property
    def kept(self) -> str | None:
        """What all of them have kept because of that, in words; None before that."""

    @property
    def stands(self) -> str | None:
        """What is kept in any case, in words; None: nothing."""


class Kept(NamedTuple):
    """What became of a request to stop."""

    what: str | None  # in words; none: nothing
    answered: bool  # it is the last step


@contextmanager
def stoppable(workers: Stoppable, *, stop: Stop) -> Iterator[None]:
    """Let `ask_to_stop` reach workers that are started in the block."""
    stop.forget()
    _open.append(workers)
    try:
        yield
    finally:
        _open.remove(workers)
        stop.forget()


def ask_to_stop(*, patience: float) -> Kept | None:
    """Have the workers of this process keep their state and stop; None where nobody learns.

    Args:
        patience: Seconds to wait for the end of a step.
    """
    asked = next((one for one in _open if one.learning), None)
    if asked is None:
        return None
    asked.ask()
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        what = asked.kept
        if what is not None:
            return Kept(what, answered=True)
        time.sleep(_TICK)
    return Kept(asked.stands, answered=False)
