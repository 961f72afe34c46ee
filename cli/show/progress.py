"""Progress of work: a live bar on a terminal from the first second, plain lines in a pipe.

Both go to standard error, so that standard output holds nothing but the result.
"""

import math
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cli.show.live import LiveBar
from cli.show.numbers import device_hours, numbers, settings
from cli.show.sweep.live import RunningTable
from cli.show.terminal import say
from cli.show.times import duration
from cluster.runs.history.losses import losses_of

if TYPE_CHECKING:
    from cluster.runs.records import Line
    from scdfm.screen.progress import Progress
    from sweeps.events import SweepEvent

_QUIET = 5.0  # seconds between plain lines


class Bar:
    """Progress of one piece of work, from the number done and the total.

    Args:
        work: What is done, such as "train".
        unit: What is counted, such as "steps".
    """

    def __init__(self, work: str, *, unit: str) -> None:
        self._work, self._unit = work, unit
        self._live: LiveBar | None = None
        self._first: tuple[float, int] | None = None
        self._spoke = float("-inf")

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._live = LiveBar(self._work)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(
        self,
        done: int,
        total: int,
        *,
        note: str = "",
        rate: float | None = None,
        left: float | None = None,
    ) -> None:
        """Show how far the work is.

        Args:
            done: Units done, those of an earlier session included.
            total: Units in all; 0 while that is not known.
            note: What else is known now; two spaces part its parts.
            rate: Units per second where the work measures it, else measured here.
            left: Seconds left where the work knows, else by the rate.
        """
        now = time.monotonic()
        if self._first is None or done < self._first[1]:  # it counts something else now
            self._first = (now, done)
        if rate is None:
            since, before = self._first
            rate = (done - before) / (now - since) if now > since else 0.0
        speed = speed_of(rate, unit=self._unit)
        if left is None and rate > 0:
            left = (total - done) / rate
        ahead = f"{duration(left)} left" if left is not None and (done < total or left > 0) else ""
        count = f"{done}/{total} {self._unit}" if total else f"{done} {self._unit}" if done else ""
        words = [word for word in (speed, ahead, *note.split("  ")) if word]
        if self._live is not None:
            self._live.show(done, total, count=count, words=words)
        elif now - self._spoke >= _QUIET or 0 < total <= done:
            self._spoke = now
            say("  ".join([" ".join(filter(None, (self._work, count))), *words]))

    def progress(self, now: "Progress") -> None:
        """Show how far the work is, as our packages report it."""
        self._unit = now.unit
        self.update(now.done, now.total, note=now.note)

    def tell(self, line: str) -> None:
        """Print a line that stays, above the bar."""
        say(line)


class TrainingBar(Bar):
    """Progress of a training run, from the lines that go into its metrics.jsonl."""

    def __init__(self, *, validate_every: int | None = None) -> None:
        """Begin a bar.

        Args:
            validate_every: Steps between validation rounds, which are said while they last.
        """
        super().__init__("train", unit="steps")
        self._validate_every = validate_every
        self._losses: dict[str, float] = {}
        self._rate = 0.0  # steps per second
        self._fold = ""
        self._rounds: list[float] = []  # seconds that each took
        self._last: tuple[int, float] | None = None  # step and time of the line before

    def report(self, line: "Line") -> None:
        """Show a line: step and losses, a validation round, a note, or where a session begins."""
        fold = f"fold {line['fold']} of {line['folds']}" if "fold" in line else ""
        fold = f"member {line['member']} of {line['members']}" if "member" in line else fold
        if fold != self._fold:  # another training begins
            self._fold, self._losses, self._rate = fold, {}, 0.0
            self._rounds, self._last = [], None
        said = str(line["note"]) if "note" in line else None
        begins = line.keys().isdisjoint(("note", "validation", "loss"))
        if begins:
            # A session begins, as after a worker has died: the bar may go back.
            said = f"goes on from step {line['step']}"
        if said is not None:
            self.tell(": ".join(filter(None, [fold, said])))
        elif line.get("validation"):
            best = "  best so far" if line.get("best") else ""
            where = ", ".join(filter(None, [fold, f"validation at step {line['step']}"]))
            self.tell(f"{where}: {numbers(line['validation'])}{best}")
        self._losses = losses_of(line) or self._losses
        self._rate = line.get("steps_per_second", self._rate)
        step, steps = int(line["step"]), int(line["steps"])
        scored = "validation" in line
        self._look_at_clock(step, scored=scored)
        if begins:
            self._last = None  # what comes next is its start, no round alone
        goes_on = not scored and ("loss" in line or step == 0)
        notes = [self._validates(step, steps)] if goes_on else []
        self.update(
            step,
            steps,
            note="  ".join(filter(None, [fold, *notes, numbers(self._losses)])),
            rate=self._rate,
            left=self._left(step, steps, scored=scored) if step < steps or goes_on else 0.0,
        )

    def _look_at_clock(self, step: int, *, scored: bool) -> None:
        """Note what a round took: the time since the line of the step that it follows."""
        now = time.monotonic()
        if scored and self._last is not None and self._last[0] == step:
            self._rounds.append(now - self._last[1])
        self._last = (step, now)

    def _left(self, step: int, steps: int, *, scored: bool) -> float | None:
        """Seconds for the steps and rounds ahead; None before a rate is known."""
        if self._rate <= 0:
            return None
        left, every = (steps - step) / self._rate, self._validate_every
        if not self._rounds or not every:
            return left
        # The last step has a round, too.
        ahead = math.ceil(steps / every) - step // every
        ahead += not scored and step % every == 0
        return left + ahead * sum(self._rounds) / len(self._rounds)

    def _validates(self, step: int, steps: int) -> str:
        """What goes on behind a line that is no validation round: a round may take minutes."""
        if step == 0:
            return "scoring the untrained model"
        due = step == steps or (self._validate_every and step % self._validate_every == 0)
        return "scoring on validation conditions" if due else ""


class SweepBar(Bar):
    """Progress of a sweep, from the events of its trials; on a terminal those that run as a table.

    Args:
        splits: Of a trial.
        steps: Of a run; none: trials differ in it.
    """

    def __init__(self, *, splits: int = 1, steps: int | None = None) -> None:
        super().__init__("tune", unit="trials")
        self._splits = splits
        self._table = RunningTable(splits=splits, steps=steps)

    def __enter__(self) -> Self:
        super().__enter__()
        if self._live is not None:
            self._live.above = self._table.lines
        return self

    def report(self, event: "SweepEvent") -> None:
        """Show an event; rounds only move the bar and the table."""
        self._table.take(event)
        line = _told(event, splits=self._splits)
        if line is not None:
            self.tell(line)
        notes = [f"{count} {state}" for state, count in event.states.items() if count]
        if event.best is not None:
            named = "" if event.best_trial is None else f" (trial {event.best_trial})"
            notes.append(f"best {numbers({event.metric: event.best})}{named}")
        if event.device_hours:
            notes.append(device_hours(event.device_hours))
        if event.kind == "round" and self._live is None:
            scored = numbers({event.metric: event.value})
            notes.append(f"{_named(event)} at step {event.step}: best {scored}")
        self.update(event.over, event.trials, note="  ".join(notes), left=event.left)


def _named(event: "SweepEvent") -> str:
    return (
        f"trial {event.trial}" if event.seed is None else f"trial {event.trial} seed {event.seed}"
    )


def _told(event: "SweepEvent", *, splits: int) -> str | None:
    """The line that stays of an event."""
    scored = numbers({event.metric: event.value})
    trial = _named(event)
    named = f"{event.name}: " if event.name else ""
    taken = f", from {event.taken}" if event.taken else ""
    # Its score is of fewer splits than a complete trial's.
    known = splits > 1 and event.split is not None
    at = f" at split {event.split} (of {splits})" if known else ""
    return {
        "start": f"{trial} starts: {named}{settings(event.configuration or {})}",
        "split": f"{trial} split {event.split}: {scored}{taken}",
        "complete": f"{trial} is complete: {scored}",
        "pruned": f"{trial} is pruned{at}: {scored}",
        "failed": f"{trial} failed: {event.error}",
        "infeasible": f"{trial} is left out: {event.error}",
        "retry": f"{trial} is tried again{_from(event, splits=splits)}: {event.error}",
    }.get(event.kind)


def _from(event: "SweepEvent", *, splits: int) -> str:
    """Where a trial goes on that is tried again; nothing if it had kept no step."""
    if event.step is None:
        return ""
    return f" from step {event.step}" + (f" of split {event.split}" if splits > 1 else "")


def speed_of(rate: float, *, unit: str) -> str:
    """Units per second, or per minute where that is less than one."""
    if rate <= 0:
        return ""
    return f"{rate:.3g} {unit}/s" if rate >= 1 else f"{60 * rate:.3g} {unit}/min"
