"""Errors that no restart can mend, carried from a worker to its driver.

Ray restarts a worker group whatever went wrong. That is right for a dead node and wrong for bad
input or a loss that turned infinite, which would only come again: such an error is written beside
the run, the worker ends in peace, and the driver raises it.
"""

import json
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
def kept(directory: Path) -> Iterator[None]:
    """Write an error that would only come again, and end the block without it."""
    try:
        yield
    except tuple(KINDS.values()) as error:
        kind = next(name for name, known in KINDS.items() if isinstance(error, known))
        note = json.dumps({"kind": kind, "message": str(error)})
        (directory / FILE).write_text(note)


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
