"""Optuna's journal file, whose lines stay whole: half of one would make the rest unreadable."""

import os
from pathlib import Path

from optuna.storages.journal import JournalFileBackend

from scdfm.screen.untyped import JsonObject


class JournalError(OSError):
    """The journal could not be written."""


class WholeLines(JournalFileBackend):
    """A journal with one writer, the driver that holds the sweep.

    Args:
        path: Of the file. What a process that was killed has left of a line is cut off.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)

    def append_logs(self, logs: list[JsonObject]) -> None:
        """Add lines.

        Raises:
            JournalError: The disk is full; nothing was added.
        """
        whole = self._path.stat().st_size
        try:
            super().append_logs(logs)
        except OSError as error:
            os.truncate(self._path, whole)
            raise JournalError(error.errno, error.strerror) from error
