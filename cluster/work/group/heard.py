"""What workers tell of a run that lives in an object store: each line, through Ray's table."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

from cluster.runs.directory import RunDirectory
from cluster.runs.records import Line
from cluster.storage.notes import ClusterNotes
from cluster.storage.places import address_of
from cluster.storage.storage import StorageError
from cluster.work.group.follow import Follow, Workers, said
from cluster.work.keeper import Report
from scdfm.screen.atomic import jsonable

_LINE = "line-"
_SOON = 1.0  # seconds

Answer = TypeVar("Answer")


def teller(directory: RunDirectory) -> Report:
    """What a worker reports its lines to; nothing, where its driver reads them from a disk."""
    address = address_of(directory.path)
    if address is None:
        return lambda line: None
    notes = ClusterNotes(address)

    def tell(line: Line) -> None:
        notes.write(f"{_LINE}{time.time_ns():020d}", json.dumps(jsonable(line)))

    return tell


class Heard(Follow):
    """Passes on the lines that workers tell."""

    def __init__(self, directory: RunDirectory, *, steps: int, report: Report) -> None:
        super().__init__(directory, steps=steps, report=report)
        address = address_of(directory.path)
        assert address is not None
        self._notes = ClusterNotes(address)
        self.begun = False
        for _ in self._lines():  # of a session that was killed
            pass

    def look(self) -> None:
        """Pass on what was told since the last look."""
        for line in self._lines():
            self.begun = True
            self.report(line)

    def _lines(self) -> Iterator[Line]:
        for name in self._notes.names(_LINE):
            text = self._notes.read(name)
            self._notes.forget(name)
            if text is not None:
                yield json.loads(text)


class FarWorkers(Workers):
    """The workers of a run in an object store, as a signal to their driver sees them."""

    def __init__(self, directory: RunDirectory, *, lost: Callable[[], bool], heard: Heard) -> None:
        super().__init__(directory, lost=lost)
        self._heard = heard

    @property
    def learning(self) -> bool:
        """Whether they have begun, and are there."""
        return self._heard.begun and not self._lost()

    def ask(self) -> None:
        """Ask them to stop."""
        in_time(super().ask)

    @property
    def kept(self) -> str | None:
        """Which step they have kept."""
        return in_time(lambda: said(self._directory.stop.kept))

    @property
    def stands(self) -> str | None:
        """Which step was kept last."""
        with suppress(StorageError, ValueError):
            return said(self._directory.stored_step())
        return None


def in_time(act: Callable[[], Answer]) -> Answer | None:
    """The answer, if it comes soon: a cluster that has died keeps its callers for a minute."""
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(act()), daemon=True)
    thread.start()
    thread.join(_SOON)
    return answers[0] if answers else None
