"""Reads what workers write about a run while they train, and passes new lines on."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from cluster.runs.directory import RunDirectory
from cluster.runs.history.journal import with_rate
from cluster.runs.history.times import TimeLine
from cluster.runs.records import Line
from cluster.work.keeper import Report

_TICK = 0.5  # seconds between two looks


class Follow:
    """Passes on the lines of metrics.jsonl, with their rates, where a session begins, and notes."""

    def __init__(self, directory: RunDirectory, *, steps: int, report: Report) -> None:
        """Prepare to follow what is written from now on.

        Args:
            directory: The run's.
            steps: Of the whole run.
            report: Receives the lines.
        """
        self.journal, self.times = directory.journal, directory.times
        self.steps, self.report = steps, report
        self.seen = len(list(self.journal.so_far()))
        self.session = self.times.sessions
        self.timed = len(list(self.times.lines()))
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, name="follow", daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.over.wait(_TICK):
            self.look()
        self.look()

    def look(self) -> None:
        """Pass on what was written since the last look."""
        times, lines = self._read()
        for time in times[self.timed :]:
            begins = time["session"] > self.session
            if begins:
                self.session = time["session"]
                # A session first drops lines that it will write again.
                self.seen = time["lines"]
            line: Line = {"step": time["step"], "steps": self.steps}
            if "note" in time:
                line["note"] = time["note"]
            if "note" in line or (begins and time["step"] > 0):
                self.report(line)
        self.timed = max(self.timed, len(times))
        rates = self.times.rates()
        for one in lines[self.seen :]:
            self.report(with_rate(one, rates))
        self.seen = max(self.seen, len(lines))

    def _read(self) -> tuple[list[TimeLine], list[Line]]:
        """Times and journal of one moment: between two looks no session begins."""
        while True:
            times, lines = list(self.times.lines()), list(self.journal.so_far())
            if self.times.sessions == max((line["session"] for line in times), default=0):
                return times, lines


class Workers:
    """The workers of one run, as a signal to their driver sees them.

    Args:
        directory: The run's.
        lost: Whether they have died and wait for room; then nobody could answer.
    """

    def __init__(self, directory: RunDirectory, *, lost: Callable[[], bool]) -> None:
        self._directory, self._lost = directory, lost
        self._sessions = directory.times.sessions

    @property
    def learning(self) -> bool:
        """Whether they have begun, and are there."""
        return self._directory.times.sessions > self._sessions and not self._lost()

    def ask(self) -> None:
        """Ask them to stop."""
        self._directory.stop.ask()

    @property
    def kept(self) -> str | None:
        """Which step they have kept."""
        return said(self._directory.stop.kept)

    @property
    def stands(self) -> str | None:
        """Which step was kept last."""
        return said(self._directory.states.step)


def said(number: int | None) -> str | None:
    """What is told of a step that is kept; None: of none."""
    return None if number is None else f"step {number} is kept"
