"""How far work is: a bar with rate and time left on a terminal, plain lines in a pipe.

Both go to standard error, so that standard output holds nothing but the result.
"""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cli.terminal import say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from sweeps.events import SweepEvent

_QUIET = 5.0  # seconds between plain lines


class Bar:
    """Progress of one piece of work, from the numbers done and in all.

    Args:
        work: What is done, such as "train".
        unit: What is counted, such as "steps".
    """

    def __init__(self, work: str, *, unit: str) -> None:
        self._work, self._unit = work, unit
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._first: tuple[float, int] | None = None
        self._spoke = float("-inf")

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int, *, note: str = "", rate: float | None = None) -> None:
        """Show how far the work is.

        Args:
            done: Units done, those of an earlier session included.
            total: Units in all.
            note: What else is known now.
            rate: Units per second where the work measures it, else measured here.
        """
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
        if rate is None:
            since, before = self._first
            rate = (done - before) / (now - since) if now > since else 0.0
        speed = _speed(rate, unit=self._unit)
        left = f"{duration((total - done) / rate)} left" if rate > 0 and done < total else ""
        if self._bar is not None:
            self._draw(done, total, words="  ".join(filter(None, (speed, left, note))))
        elif now - self._spoke >= _QUIET or done >= total:
            self._spoke = now
            head = f"{self._work} {done}/{total} {self._unit}"
            say("  ".join(filter(None, (head, speed, left, note))))

    def tell(self, line: str) -> None:
        """Say something that stays, above the bar."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            say(line)

    def _draw(self, done: int, total: int, *, words: str) -> None:
        assert self._bar is not None
        if self._task is None:
            self._task = self._bar.add_task(self._work, total=total, words="")
        self._bar.update(self._task, completed=done, total=total, words=words)


class TrainingBar(Bar):
    """Progress of a training run, from the lines that go into its metrics.jsonl."""

    def __init__(self) -> None:
        super().__init__("train", unit="steps")

    def report(self, line: Mapping[str, Any]) -> None:
        """Show a line: step and losses, a validation round, or a note."""
        if "note" in line:
            self.tell(str(line["note"]))
        elif "validation" in line:
            best = "  best so far" if line.get("best") else ""
            self.tell(f"validation at step {line['step']}: {numbers(line['validation'])}{best}")
        elif "loss" in line:
            parts = {name: line[name] for name in ("loss", "cfm", "mmd") if name in line}
            self.update(
                int(line["step"]),
                int(line["steps"]),
                note=numbers(parts),
                rate=line.get("steps_per_second"),
            )


class PredictionBar(Bar):
    """Progress of a prediction, from the shards done; the rate is in cells."""

    def __init__(self) -> None:
        super().__init__("predict", unit="shards")

    def report(self, state: Mapping[str, int]) -> None:
        """Show how many shards are done."""
        self.update(state["done"], state["total"], note=f"{state['cells']} cells")


class SweepBar(Bar):
    """Progress of a sweep, from the events of its trials."""

    def __init__(self) -> None:
        super().__init__("tune", unit="trials")

    def report(self, event: "SweepEvent") -> None:
        """Show an event; rounds only move the bar."""
        scored = numbers({event.metric: event.value})
        trial = f"trial {event.trial}"
        named = f"{event.name}: " if event.name else ""
        line = {
            "start": f"{trial} starts: {named}{numbers(event.configuration or {})}",
            "split": f"{trial} split {event.split}: {scored}",
            "complete": f"{trial} is complete: {scored}",
            "pruned": f"{trial} is given up: {scored}",
            "failed": f"{trial} failed: {event.error}",
            "retry": f"{trial} is tried again: {event.error}",
        }.get(event.kind)
        if line is not None:
            self.tell(line)
        notes = [] if event.best is None else [f"best {numbers({event.metric: event.best})}"]
        if event.kind == "round":
            notes.append(f"{trial} at step {event.step}: {scored}")
        self.update(event.over, event.trials, note="  ".join(notes))


def numbers(values: Mapping[str, Any]) -> str:
    """Names and values, four digits each; a value that is undefined is null in a journal."""
    return "  ".join(f"{name} {_number(value)}" for name, value in values.items())


def _number(value: Any) -> str:
    if value is None:
        return "undefined"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _speed(rate: float, *, unit: str) -> str:
    """Units per second, or per minute where that is less than one."""
    if rate <= 0:
        return ""
    return f"{rate:.3g} {unit}/s" if rate >= 1 else f"{60 * rate:.3g} {unit}/min"


def duration(seconds: float) -> str:
    """A time span as people say it: `40 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def _bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}", markup=False),
        console=Console(stderr=True),
    )
