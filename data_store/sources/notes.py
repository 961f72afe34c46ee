"""Notes on what was read: what was detected, left out, renamed.

Every note is a line of the log, and a store's manifest keeps the notes of its ingest. They are
collected here and not by a log handler, which a log level may silence.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

log = logging.getLogger(__name__)

_kept: ContextVar[list[str] | None] = ContextVar("notes", default=None)


def note(line: str, *, level: int = logging.INFO) -> None:
    """Log a line; within `kept_notes` only once, as the files of a folder are often similar."""
    lines = _kept.get()
    if lines is not None:
        if line in lines:
            return
        lines.append(line)
    log.log(level, "%s", line)


def warn(line: str) -> None:
    """A note on something that the user should check."""
    note(f"warning: {line}", level=logging.WARNING)


@contextmanager
def kept_notes() -> Iterator[list[str]]:
    """Collect the notes of this block, each once, in a growing list."""
    lines: list[str] = []
    token = _kept.set(lines)
    try:
        yield lines
    finally:
        _kept.reset(token)
