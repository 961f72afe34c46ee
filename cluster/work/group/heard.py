"""What workers tell of a run that lives in an object store: each line, through Ray's table."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from cluster.runs.directory import RunDirectory
from cluster.runs.records import Line
from cluster.storage.mirror import address_of
from cluster.storage.notes import ClusterNotes
from cluster.storage.storage import StorageError
from cluster.work.group.follow import Follow, Workers, said
from cluster.work.keeper import Report
from scdfm.screen.atomic import jsonable

_LINE = "line-"


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

    @property
    def stands(self) -> str | None:
        """Which step was kept last."""
        with suppress(StorageError, ValueError):
            return said(self._directory.stored_step())
        return None
