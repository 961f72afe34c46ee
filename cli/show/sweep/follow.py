"""A sweep, as one who follows it sees it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cli.show.following import QUIET
from cli.show.sweep.state import best_of, lines_of, running_of, state_of, trials_of
from cli.show.tables import pairs
from scdfm.screen.untyped import JsonObject

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sweeps.watching.now import Now


class FollowedSweep:
    """A sweep, and what was said of it in a pipe.

    Args:
        path: Of the sweep.
    """

    clocks = frozenset({"hours", "device_hours", "left", "left_of_seeds"})
    kind = "sweep"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = self._trials = self._best = ""
        self._failed = 0
        self._spoke = float("-inf")

    def look(self) -> "Now":
        """How it stands."""
        from sweeps.directory import SweepDirectory
        from sweeps.watching.now import LOOKED_AT, now

        return now(SweepDirectory(self._path).fetch(LOOKED_AT))

    def over(self, now: "Now") -> bool:
        """Whether nobody works on it."""
        return now.over_for_now

    def done(self, now: "Now") -> bool:
        """Whether it is done."""
        return now.finished

    def drawn(self, now: "Now", *, plain: bool) -> "RenderableType":
        """How it stands, in a few lines."""
        from sweeps.directory import SweepDirectory

        return pairs(lines_of(now, name=str(SweepDirectory(self._path))))

    def facts(self, now: "Now") -> JsonObject:
        """How it stands, ready for JSON."""
        from sweeps.watching.now import plain

        return plain(now)

    def new(self, now: "Now") -> Iterator[str]:
        """Lines about what was not said before; of running trials in turns of a few seconds."""
        for one in now.failed[self._failed :]:
            yield f"trial {one.trial} failed: {one.error}"
        self._failed = len(now.failed)
        if now.running and time.monotonic() - self._spoke >= QUIET:
            self._spoke = time.monotonic()
            for running in now.running:
                yield running_of(running, metric=now.metric, splits=now.splits)
        if trials_of(now) != self._trials:
            self._trials = trials_of(now)
            yield f"trials: {self._trials}"
        best = "" if now.best is None else best_of(now.best, metric=now.metric)
        if best and best != self._best:
            self._best = best
            yield f"best: {best}"
        # Last, so that the last line says how it ended.
        if state_of(now) != self._state:
            self._state = state_of(now)
            yield self._state
