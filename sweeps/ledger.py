"""ledger.jsonl: what happened to every trial, in lines that are only ever added.

A session that is not killed ends with a line "open" for each trial that it leaves in its middle and
a line "end", so that all time it took is known. Older ledgers have neither.

Ray Tune records a pruned trial as complete, so the leaderboard is computed from here. The driver
is the only writer. A crash can leave an incomplete last line, which is dropped. In an object store
each line is sent with all else that has changed since the last one, such as Optuna's study.
"""

import json
import math
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal, Required, TypedDict, cast

from cluster.storage.mirror import publish
from sweeps.schema.sweep import Configuration

FILE = "ledger.jsonl"
_OF_AN_END = ("trial", "seconds")
_NEEDED = {  # what each line has, beside its event and its time
    "start": ("trial", "configuration", "baseline"),
    "round": ("trial", "rung", "value"),
    "split": ("trial", "split", "value"),
    **dict.fromkeys(("complete", "pruned", "failed", "infeasible", "open"), _OF_AN_END),
}
_BETWEEN = ("extend", "confirm", "final", "done")  # lines that may be written between sessions


class Event(TypedDict, total=False):
    """A line of the ledger."""

    event: Required[
        Literal[
            "session",
            "end",
            "start",
            "round",
            "split",
            "complete",
            "pruned",
            "failed",
            "infeasible",
            "open",
            "abort",
            "extend",
            "confirm",  # from now on; see sweeps.winners.rule
            "final",  # test conditions begin to be scored
            "done",
        ]
    ]
    time: float  # seconds since 1970
    trial: str  # its key
    configuration: Configuration  # start
    baseline: bool  # start
    number: int  # start: in Optuna's study; none: one of further seeds, or of an older version
    confirms: str  # start: key of the trial that has the same settings and another seed
    rung: int  # round
    split: int  # split
    value: float  # round: mean so far; split: its objective
    further: dict[str, float]  # split: its scores by further metrics of the objective
    taken: str  # split: the run of another sweep that it was copied from
    seconds: float  # of a trial's end, or open: of this session, and of killed ones before it
    error: str  # failed: why; infeasible: what it needs
    trials: int  # session, extend: that the budget allows; of further seeds: that are missing
    hours: float | None  # session: that the budget allows
    of: int  # extend: trials that the sweep's file allowed
    begun: int  # extend: trials that had begun
    confirming: bool  # session: of further seeds only
    again: list[str]  # likewise: keys of those that failed before and are tried again
    confirm: dict[str, int] | None  # confirm: the sweep's own
    concurrent: int  # session
    devices: float  # session: GPUs of a trial, or cores where it has none


State = Literal["running", "complete", "pruned", "failed", "infeasible"]


@dataclass
class Trial:
    """What the ledger knows about one configuration.

    Attributes:
        key: Content hash of the configuration.
        number: Its number in Optuna's study; in older sweeps from 1, in the order in which trials
            began.
        configuration: Its values by dotted name.
        baseline: It is the base itself.
        state: "running" also when the sweep was stopped in the middle of it; "infeasible" needs
            more than the sweep's limits and was not trained.
        values: The objective of each finished split, by the split's position.
        further: The scores of a finished split by further metrics, likewise.
        rounds: Mean so far by rung, the count of validation rounds over all splits.
        begun: Splits that it has a score of, the one that it is at included.
        seconds: Time spent in all sessions until the last that it ended in.
        error: Why it failed, or what it needs.
        confirms: Key of the trial that it repeats with another seed; none: it is one of the search.
        again: It failed and will be tried again: the sweep was stopped because of failures, or a
            session tries its further seed once more.
    """

    key: str
    number: int
    configuration: Configuration
    baseline: bool
    state: State = "running"
    values: dict[int, float] = field(default_factory=dict)
    further: dict[int, dict[str, float]] = field(default_factory=dict)
    rounds: dict[int, float] = field(default_factory=dict)
    begun: int = 0
    seconds: float = 0.0
    error: str | None = None
    confirms: str | None = None
    again: bool = False

    @property
    def mean(self) -> float:
        """The objective over the splits that are finished; NaN when none is."""
        return sum(self.values.values()) / len(self.values) if self.values else math.nan

    @property
    def so_far(self) -> float | None:
        """Mean over the splits begun, of each one's best score so far; None before the first."""
        if self.rounds and len(self.values) < self.begun:
            return self.rounds[max(self.rounds)]
        return self.mean if self.values else None

    def mean_of(self, metric: str) -> float:
        """A further metric over the splits that are finished; NaN when one lacks it."""
        known = [self.further.get(split, {}).get(metric, math.nan) for split in self.values]
        return sum(known) / len(known) if known else math.nan

    @property
    def over(self) -> bool:
        """Nothing is left to do."""
        return self.state != "running" and not self.again

    @property
    def settled(self) -> bool:
        """Of a further seed: no later command tries it again."""
        return self.over and self.state != "failed"


class Ledger:
    """The ledger of one sweep. Hold the sweep's lease while writing."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE

    def mend(self) -> None:
        """Cut off a line that a crash left unfinished, so the next line is a line of its own."""
        if not self.path.is_file():
            return
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.path, whole)

    def write(self, event: Event) -> None:
        """Add an event; it is on disk, and where the sweep lives, when this returns.

        Raises:
            OSError: The disk is full, or the object store away.
        """
        line = (json.dumps({"time": round(time.time(), 3), **event}) + "\n").encode()
        with self.path.open("ab", buffering=0) as file:
            whole = file.tell()
            try:
                while line:
                    line = line[file.write(line) :]
                os.fsync(file.fileno())
            except OSError:
                # Half a line would swallow the next one, which may still find room.
                file.truncate(whole)
                raise
        publish(self.path.parent)

    def close(self) -> None:
        """Say that all is done that the sweep asks for; only once."""
        events = list(self.events())
        if events and events[-1]["event"] != "done":
            self.write({"event": "done"})

    def events(self) -> Iterator[Event]:
        """All complete events, oldest first.

        Raises:
            ValueError: A line other than the last is damaged.
        """
        if not self.path.is_file():
            return
        *lines, _torn = self.path.read_bytes().split(b"\n")
        begun: set[str] = set()
        for number, line in enumerate(lines, start=1):
            event = _event(line, begun=begun)
            if event is None:
                raise ValueError(
                    f"{self.path} line {number} is damaged; restore it or delete the line"
                )
            if event["event"] == "start":
                begun.add(event["trial"])
            yield event

    def trials(self) -> list[Trial]:
        """What is known about every trial of the search, in the order in which they began."""
        return [trial for trial in fold(list(self.events())) if trial.confirms is None]

    def repeats(self) -> list[Trial]:
        """What is known about trials that were trained again with another seed."""
        return [trial for trial in fold(list(self.events())) if trial.confirms is not None]

    def hours(self) -> float:
        """Time the search has taken, all sessions together; pauses between them do not count."""
        return hours(of_the_search(self.events()))

    def device_hours(self, *, usual: float) -> float:
        """Hours of the search's trials that have ended, times their GPUs or cores.

        Args:
            usual: GPUs or cores of a trial of sessions that do not tell, as older ones.
        """
        return device_hours(of_the_search(self.events()), usual=usual)

    def extension(self) -> Event | None:
        """The last time that the budget was extended."""
        found = [event for event in self.events() if event["event"] == "extend"]
        return found[-1] if found else None


def _event(line: bytes, *, begun: Collection[str]) -> Event | None:
    """An event; None for a line that is none, or of a trial that has not begun."""
    try:
        event = json.loads(line)
        known = {"event", "time", *_NEEDED.get(event["event"], ())} <= event.keys()
    except (ValueError, TypeError, LookupError, AttributeError):  # no JSON, or no object
        return None
    orphan = "trial" in event and event["event"] != "start" and event["trial"] not in begun
    return cast(Event, event) if known and not orphan else None


def of_the_search(events: Iterable[Event]) -> Iterator[Event]:
    """All events but those of sessions that trained further seeds, which no budget counts."""
    confirming = False
    for event in events:
        if event["event"] == "session":
            confirming = event.get("confirming", False)
        if not confirming:
            yield event


def hours(events: Iterable[Event]) -> float:
    """Time that sessions have taken; pauses between them do not count."""
    total, began, last = 0.0, None, 0.0
    for event in events:
        if event["event"] in _BETWEEN:
            continue
        if event["event"] == "session" or began is None:
            total += last - began if began is not None else 0.0
            began = event["time"]
        last = event["time"]
    return (total + (last - began if began is not None else 0.0)) / 3600


def device_hours(events: Iterable[Event], *, usual: float) -> float:
    """Hours of trials that have ended, times their GPUs or cores.

    Args:
        events: Of the ledger.
        usual: GPUs or cores of a trial of sessions that do not tell.
    """
    total, devices = 0.0, usual
    for event in events:
        if event["event"] == "session":
            devices = event.get("devices", usual)
        total += event.get("seconds", 0.0) * devices
    return total / 3600


def fold(events: Sequence[Event]) -> list[Trial]:
    """Add up events to trials; a repeat has the number of the trial that it repeats."""
    trials: dict[str, Trial] = {}
    searched = count(1)
    for event in events:
        if event["event"] == "abort":
            # The user is asked to mend the cause, so what failed gets another chance.
            for trial in trials.values():
                trial.again = trial.state == "failed"
        elif event["event"] == "session":
            for trial in trials.values():
                trial.again |= trial.state == "failed" and trial.key in event.get("again", ())
        elif event["event"] == "start":
            if event["trial"] not in trials:
                confirms = event.get("confirms")
                known = trials.get(confirms or "")
                trials[event["trial"]] = Trial(
                    key=event["trial"],
                    number=_number(event, searched)
                    if confirms is None
                    else known.number
                    if known
                    else 0,
                    configuration=event["configuration"],
                    baseline=event["baseline"],
                    confirms=confirms,
                )
        elif "trial" in event:
            _add(trials[event["trial"]], event)
    return list(trials.values())


def _number(event: Event, counted: Iterator[int]) -> int:
    """The number that a line gives, or the next in the order of an older ledger."""
    return event["number"] if "number" in event else next(counted)


def _add(trial: Trial, event: Event) -> None:
    match event["event"]:
        case "round":
            # All rounds of a split are told before its end.
            trial.begun = max(trial.begun, len(trial.values) + 1)
            trial.rounds.setdefault(event["rung"], event["value"])
        case "split":
            trial.values[event["split"]] = event["value"]
            trial.begun = max(trial.begun, len(trial.values))
            trial.further[event["split"]] = event.get("further", {})
        case "complete" | "pruned" | "failed" | "infeasible":
            if trial.state == "complete":  # older versions could write one more end
                return
            trial.state, trial.again = event["event"], False
            trial.seconds += event["seconds"]
            trial.error = event.get("error")
        case "open":
            trial.seconds += event["seconds"]
