"""Errors that no restart can mend, carried from a worker to its driver.

Ray restarts a worker group whatever went wrong. That is right for a dead node and wrong for bad
input or a loss that turned infinite, which would only come again: such an error is written beside
the run, and the driver raises it. A worker alone ends in peace. Where others wait for it, it must
fail, or they would wait for ever; Ray restarts the group, and the new workers see the note and end.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE = "refusal.json"
KINDS: dict[str, type[Exception]] = {
    "ValueError": ValueError,
    "FloatingPointError": FloatingPointError,
    "FileNotFoundError": FileNotFoundError,
}


@contextmanager
def kept(directory: Path, *, alone: bool) -> Iterator[None]:
    """Write an error that would only come again; a worker alone then goes on without it."""
    try:
        yield
    except tuple(KINDS.values()) as error:
        kind = next(name for name, known in KINDS.items() if isinstance(error, known))
        note = json.dumps({"kind": kind, "message": str(error)})
        draft = directory / f".{FILE}.{os.getpid()}"
        draft.write_text(note)
        draft.replace(directory / FILE)
        if not alone:
            raise


def is_written(directory: Path) -> bool:
    """Whether a worker has given up."""
    return (directory / FILE).is_file()


def repeat(directory: Path) -> None:
    """Raise what a worker has written, if it has.

    Raises:
        ValueError, FloatingPointError, FileNotFoundError: As the worker met it.
    """
    file = directory / FILE
    if file.is_file():
        note = json.loads(file.read_text())
        file.unlink()
        raise KINDS[note["kind"]](note["message"])


def forget(directory: Path) -> None:
    """Remove what an earlier session has left."""
    (directory / FILE).unlink(missing_ok=True)
