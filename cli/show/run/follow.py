"""A run, as one who follows it sees it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cli.show.following import QUIET
from cli.show.numbers import number, numbers
from cli.show.run.state import fault_of, lines_of, state_of, step_of
from cli.show.tables import pairs
from scdfm.screen.untyped import JsonObject

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cluster.runs.history.said import SaidLine
    from cluster.work.watch.now import Now


class FollowedRun:
    """A run, and what was said of it in a pipe.

    Args:
        path: Of the run.
    """

    clocks = frozenset[str]()  # speed and time left follow from lines that are written
    kind = "run"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = ""
        self._fault: SaidLine | None = None
        self._step = self._scored = -1
        self._spoke = float("-inf")

    def look(self) -> "Now":
        """How it stands."""
        from cluster.runs.directory import RunDirectory
        from cluster.work.watch.now import now

        return now(RunDirectory(self._path).fetch())

    def over(self, now: "Now") -> bool:
        """Whether nobody works on it."""
        return now.over

    def done(self, now: "Now") -> bool:
        """Whether it is done."""
        return now.state == "done"

    def drawn(self, now: "Now", *, plain: bool) -> "RenderableType":
        """How it stands, in a few lines."""
        from cluster.runs.directory import RunDirectory

        return pairs(lines_of(now, name=str(RunDirectory(self._path)), plain=plain))

    def facts(self, now: "Now") -> JsonObject:
        """How it stands, ready for JSON."""
        from cluster.work.watch.now import plain

        return plain(now)

    def new(self, now: "Now") -> Iterator[str]:
        """Lines about what was not said before; of steps one in a few seconds."""
        if now.fault is not None and now.fault != self._fault:
            self._fault = now.fault
            yield fault_of(now.fault)
        for step, score in now.scores:
            if step > self._scored:
                self._scored = step
                yield f"validation at step {step}: {now.metric} {number(score)}"
        quiet = time.monotonic() - self._spoke < QUIET
        if now.step > self._step and (now.over or not quiet):
            self._step, self._spoke = now.step, time.monotonic()
            yield f"step {step_of(now)}  {numbers(now.losses)}".rstrip()
        # Last, so that the last line says how it ended.
        if state_of(now) != self._state:
            self._state = state_of(now)
            yield self._state
