"""A run until nobody works on it any more: drawn again on a terminal, plain lines in a pipe."""

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.show.progress import number, numbers
from cli.show.run.state import fault_of, lines_of, state_of, step_of
from cli.show.tables import pairs
from cli.show.terminal import as_json_line, console

if TYPE_CHECKING:
    from cluster.runs.history.said import SaidLine
    from cluster.work.watch.now import Now

_LOOK = 1.0  # seconds between two looks
_QUIET = 5.0  # seconds between plain lines of steps


def follow(path: Path, *, json: bool) -> bool:
    """Show a run until it ends; whether it is done then.

    Args:
        path: Of the run.
        json: A line of JSON for each change.
    """
    if json or not sys.stdout.isatty():
        return _in_lines(path, json=json)
    return _drawn(path)


def _looks(path: Path) -> Iterator["Now"]:
    """Where the run stands, again and again; the last time is that of its end."""
    from cluster.runs.directory import RunDirectory
    from cluster.work.watch.now import now

    while True:
        yield (found := now(RunDirectory(path).fetch()))
        if found.over:
            return
        time.sleep(_LOOK)


def _drawn(path: Path) -> bool:
    from rich.live import Live

    from cluster.runs.directory import RunDirectory

    out, name = console(sys.stdout), str(RunDirectory(path))
    plain = out.options.ascii_only
    with Live(console=out, auto_refresh=False, vertical_overflow="crop") as live:
        for now in _looks(path):
            live.update(pairs(lines_of(now, name=name, plain=plain)), refresh=True)
    return now.state == "done"


def _in_lines(path: Path, *, json: bool) -> bool:
    from cluster.work.watch.now import plain

    told, before = _Told(), dict[str, Any]()
    for now in _looks(path):
        facts = plain(now)
        if not json:
            _say(told.new(now))
        elif facts != before:
            _say([as_json_line(facts)])
        before = facts
    return now.state == "done"


def _say(lines: Iterable[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()  # a pipe would hold it back


class _Told:
    """What was said of a run in a pipe."""

    def __init__(self) -> None:
        self._state = ""
        self._fault: SaidLine | None = None
        self._step = self._scored = -1
        self._spoke = float("-inf")

    def new(self, now: "Now") -> Iterator[str]:
        """Lines about what was not said before; of steps one in a few seconds."""
        if now.fault is not None and now.fault != self._fault:
            self._fault = now.fault
            yield fault_of(now.fault)
        for step, score in now.scores:
            if step > self._scored:
                self._scored = step
                yield f"validation at step {step}: {now.metric} {number(score)}"
        quiet = time.monotonic() - self._spoke < _QUIET
        if now.step > self._step and (now.over or not quiet):
            self._step, self._spoke = now.step, time.monotonic()
            yield f"step {step_of(now)}  {numbers(now.losses)}".rstrip()
        # Last, so that the last line says how it ended.
        if state_of(now) != self._state:
            self._state = state_of(now)
            yield self._state
