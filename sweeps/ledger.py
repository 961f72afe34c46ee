"""ledger.jsonl: what happened to every trial, in lines that are only ever added.

A session that is not killed ends with a line "open" for each trial that it leaves in its middle and
a line "end", so that all time it took is known. Older ledgers have neither.

Ray Tune records a pruned trial as complete, so the leaderboard is computed from here. The driver
is the only writer. A crash can leave an incomplete last line, which is dropped.
"""

import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal, Required, TypedDict

from sweeps.schema.sweep import Configuration

FILE = "ledger.jsonl"


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
        ]
    ]
    time: float  # seconds since 1970
    trial: str  # its key
    configuration: Configuration  # start
    baseline: bool  # start
    confirms: str  # start: key of the trial that has the same settings and another seed
    rung: int  # round
    split: int  # split
    value: float  # round: mean so far; split: its objective
    taken: str  # split: the run of another sweep that it was copied from
    seconds: float  # of a trial's end, or open: of this session, and of killed ones before it
    error: str  # failed: why; infeasible: what it needs
    trials: int  # session, extend: that the budget allows
    of: int  # extend: trials that the sweep's file allowed
    begun: int  # extend: trials that had begun
    confirming: bool  # session: of further seeds only
    concurrent: int  # session
    devices: float  # session: GPUs of a trial, or cores where it has none


State = Literal["running", "complete", "pruned", "failed", "infeasible"]


@dataclass
class Trial:
    """What the ledger knows about one configuration.

    Attributes:
        key: Content hash of the configuration.
        number: From 1, in the order in which trials began.
        configuration: Its values by dotted name.
        baseline: It is the base itself.
        state: "running" also when the sweep was stopped in the middle of it; "infeasible" needs
            more than the sweep's limits and was not trained.
        values: The objective of each finished split, by the split's position.
        rounds: Mean so far by rung, the count of validation rounds over all splits.
        seconds: Time spent in all sessions until the last that it ended in.
        error: Why it failed, or what it needs.
        confirms: Key of the trial that it repeats with another seed; none: it is one of the search.
        again: It failed, the sweep was stopped because of failures, and it will be tried again.
    """

    key: str
    number: int
    configuration: Configuration
    baseline: bool
    state: State = "running"
    values: dict[int, float] = field(default_factory=dict)
    rounds: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None
    confirms: str | None = None
    again: bool = False

    @property
    def mean(self) -> float:
        """The objective over the splits that are finished; NaN when none is."""
        return sum(self.values.values()) / len(self.values) if self.values else math.nan

    @property
    def over(self) -> bool:
        """Nothing is left to do."""
        return self.state != "running" and not self.again


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
        """Add an event; it is on disk when this returns."""
        with self.path.open("a") as file:
            file.write(json.dumps({"time": round(time.time(), 3), **event}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def events(self) -> Iterator[Event]:
        """All complete events, oldest first.

        Raises:
            ValueError: A line other than the last is damaged.
        """
        if not self.path.is_file():
            return
        *lines, _torn = self.path.read_text().split("\n")
        for number, line in enumerate(lines, start=1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"{self.path} line {number} is damaged; restore it or delete the line"
                ) from error

    def trials(self) -> list[Trial]:
        """What is known about every trial of the search, in the order in which they began."""
        return [trial for trial in fold(list(self.events())) if trial.confirms is None]

    def repeats(self) -> list[Trial]:
        """What is known about trials that were trained again with another seed."""
        return [trial for trial in fold(list(self.events())) if trial.confirms is not None]

    def _of_the_search(self) -> Iterator[Event]:
        """All events but those of sessions that trained further seeds, which no budget counts."""
        confirming = False
        for event in self.events():
            if event["event"] == "session":
                confirming = event.get("confirming", False)
            if not confirming and event["event"] != "extend":
                yield event

    def hours(self) -> float:
        """Time the search has taken, all sessions together; pauses between them do not count."""
        total, began, last = 0.0, None, 0.0
        for event in self._of_the_search():
            if event["event"] == "session" or began is None:
                total += last - began if began is not None else 0.0
                began = event["time"]
            last = event["time"]
        return (total + (last - began if began is not None else 0.0)) / 3600

    def device_hours(self, *, usual: float) -> float:
        """Hours of the search's trials that have ended, times their GPUs or cores.

        Args:
            usual: GPUs or cores of a trial of sessions that do not tell, as older ones.
        """
        total, devices = 0.0, usual
        for event in self._of_the_search():
            if event["event"] == "session":
                devices = event.get("devices", usual)
            total += event.get("seconds", 0.0) * devices
        return total / 3600

    def extension(self) -> Event | None:
        """The last time that the budget was extended."""
        found = [event for event in self.events() if event["event"] == "extend"]
        return found[-1] if found else None


def fold(events: Sequence[Event]) -> list[Trial]:
    """Add up events to trials; a repeat has the number of the trial that it repeats."""
    trials: dict[str, Trial] = {}
    searched = count(1)
    for event in events:
        if event["event"] == "abort":
            # The user is asked to mend the cause, so what failed gets another chance.
            for trial in trials.values():
                trial.again = trial.state == "failed"
        elif event["event"] == "start":
            if event["trial"] not in trials:
                confirms = event.get("confirms")
                known = trials.get(confirms or "")
                trials[event["trial"]] = Trial(
                    key=event["trial"],
                    number=next(searched) if confirms is None else known.number if known else 0,
                    configuration=event["configuration"],
                    baseline=event["baseline"],
                    confirms=confirms,
                )
        elif "trial" in event:
            _add(trials[event["trial"]], event)
    return list(trials.values())


def _add(trial: Trial, event: Event) -> None:
    match event["event"]:
        case "round":
            trial.rounds.setdefault(event["rung"], event["value"])
        case "split":
            trial.values[event["split"]] = event["value"]
        case "complete" | "pruned" | "failed" | "infeasible":
            trial.state, trial.again = event["event"], False
            trial.seconds += event["seconds"]
            trial.error = event.get("error")
        case "open":
            trial.seconds += event["seconds"]
