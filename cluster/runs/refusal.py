"""Errors that no restart can fix, carried from a worker to its driver.

Ray restarts a worker group after any error. That is right for a dead node, and wrong for bad input
or an infinite loss, which would happen again. Such an error is written to a note about the run, and
the driver raises it. A single worker then ends normally. If other workers wait for
it, it must fail, or they would wait for ever; Ray restarts the group, and the new workers see the
note and end.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from cluster.storage.notes import Notes, notes_about

FILE = "refusal.json"
KINDS: dict[str, type[Exception]] = {
    "ValueError": ValueError,
    "FloatingPointError": FloatingPointError,
    "FileNotFoundError": FileNotFoundError,
}


class Note(BaseModel, frozen=True):
    """An error that a worker met."""

    kind: Literal["ValueError", "FloatingPointError", "FileNotFoundError"]
    message: str


@dataclass(frozen=True)
class Refusal:
    """The note of a worker that gave up, in a run's directory."""

    directory: Path

    @contextmanager
    def kept(self, *, alone: bool) -> Iterator[None]:
        """Write down an error that would happen again; a single worker then does not raise it."""
        try:
            yield
        except tuple(KINDS.values()) as error:
            kind = next(name for name, known in KINDS.items() if isinstance(error, known))
            self._notes.write(FILE, json.dumps({"kind": kind, "message": str(error)}))
            if not alone:
                raise

    @property
    def written(self) -> bool:
        """Whether a worker has given up."""
        return self._notes.read(FILE) is not None

    def repeat(self) -> None:
        """Raise the error that a worker has written, if there is one.

        Raises:
            ValueError, FloatingPointError, FileNotFoundError: As the worker met it.
        """
        text = self._notes.read(FILE)
        if text is not None:
            note = Note.model_validate_json(text)
            self.forget()
            raise KINDS[note.kind](note.message)

    def forget(self) -> None:
        """Remove what an earlier session has left."""
        self._notes.forget(FILE)

    @property
    def _notes(self) -> Notes:
        return notes_about(self.directory)
