"""Errors that no restart can fix, carried from a worker to its driver.

Ray restarts a worker group after any error. That is right for a dead node, and wrong for bad input
or an infinite loss, which would happen again. Such an error is written to a note in the run's
directory, and the driver raises it. A single worker then ends normally. If other workers wait for
it, it must fail, or they would wait for ever; Ray restarts the group, and the new workers see the
note and end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from scdfm.screen.atomic import write_json

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

    @property
    def file(self) -> Path:
        """Where the note is, if there is one."""
        return self.directory / FILE

    @contextmanager
    def kept(self, *, alone: bool) -> Iterator[None]:
        """Write down an error that would happen again; a single worker then does not raise it."""
        try:
            yield
        except tuple(KINDS.values()) as error:
            kind = next(name for name, known in KINDS.items() if isinstance(error, known))
            write_json(self.file, {"kind": kind, "message": str(error)})
            if not alone:
                raise

    @property
    def written(self) -> bool:
        """Whether a worker has given up."""
        return self.file.is_file()

    def repeat(self) -> None:
        """Raise the error that a worker has written, if there is one.

        Raises:
            ValueError, FloatingPointError, FileNotFoundError: As the worker met it.
        """
        if self.written:
            note = Note.model_validate_json(self.file.read_text())
            self.forget()
            raise KINDS[note.kind](note.message)

    def forget(self) -> None:
        """Remove what an earlier session has left."""
        self.file.unlink(missing_ok=True)
