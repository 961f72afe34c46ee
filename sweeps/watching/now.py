"""Where a sweep stands: its trials, its best, what it cost and how long it takes, from its files.

No lock is taken, so any process may look while the sweep runs, also on another machine.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from cluster.runs.directory import RESULT, RunDirectory
from cluster.runs.find_model import CHOICE, RUN, SWEEP
from cluster.runs.history.holder import Holder, holder
from cluster.runs.history.journal import FILE as JOURNAL
from cluster.runs.history.times import FILE as TIMES
from cluster.storage.wanted import these
from scdfm.screen.untyped import JsonObject
from sweeps.budget import ended
from sweeps.directory import FINAL, SweepDirectory
from sweeps.ledger import FILE as LEDGER
from sweeps.ledger import Event, Trial, device_hours, fold, hours, of_the_search
from sweeps.lock import Locked
from sweeps.results import Row, choice, chosen, leaderboard
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.watching.left import seconds_left, seconds_of_seeds
from sweeps.winners.alike import alike
from sweeps.winners.records import final
from sweeps.winners.rule import rule_of

LOOKED_AT = these(SWEEP, LEDGER, CHOICE, FINAL)  # of a sweep in an object store
_OF_A_RUN = these(RUN, JOURNAL, TIMES, RESULT)  # likewise

State = Literal["waiting", "running", "done", "stopped"]


class Part(NamedTuple):
    """A split that a trial trains on now."""

    split: int
    step: int
    steps: int


class RunningTrial(NamedTuple):
    """A trial that trains now."""

    trial: int
    seed: int | None  # of a further training of the best
    parts: tuple[Part, ...]
    splits: int  # that are finished
    value: float | None  # best so far, the mean over splits
    configuration: Configuration


class FailedTrial(NamedTuple):
    """A trial that failed."""

    trial: int
    error: str


class BestTrial(NamedTuple):
    """The best trial so far."""

    trial: int
    baseline: bool
    value: float
    base: float | None  # value of the base; none: it has not finished
    configuration: Configuration
    said: str  # how sure it is
    front: dict[int, dict[str, float | None]]  # by trial: its scores; empty with one metric
    over_seeds: float | None = None  # value over further seeds; none: only the first was trained
    base_over_seeds: float | None = None


class Now(NamedTuple):
    """Where a sweep stands."""

    state: State
    holder: Holder | None
    doing: Literal["search", "further seeds", "final"] | None  # none: it is done
    metric: str
    mode: str
    over: int  # trials of the budget that have ended
    trials: int | None  # that the budget allows; none: no session has begun
    splits: int
    states: dict[str, int]  # trials by their state; "open" was stopped in its middle
    again: int  # of the failed ones, those that will be tried again, which have not ended
    repeats: int | None  # trainings with further seeds, as last asked for; none: never yet
    repeats_over: int  # of these, those that have ended
    best: BestTrial | None
    alike: str | None  # that all finished trials score the same, and why; none: they differ
    running: tuple[RunningTrial, ...]
    failed: tuple[FailedTrial, ...]
    final: str | None  # what test scores say; none: there are none
    hours: float  # of all sessions, those of further seeds, too
    device_hours: float  # of all trials and their further seeds, times their GPUs or cores
    left: float | None  # seconds to the end, at the speed so far; none: not known
    left_of_seeds: float  # of these, what further seeds take after the search

    @property
    def finished(self) -> bool:
        """Whether it is done."""
        return self.state == "done"

    @property
    def over_for_now(self) -> bool:
        """Whether nobody works on it."""
        return self.state in ("done", "stopped")


def now(directory: SweepDirectory) -> Now:
    """Look at a sweep.

    Raises:
        FileNotFoundError: No sweep has begun there.
        ValueError: A file of it is damaged.
    """
    locked = directory.lock.read()
    if locked is None:
        raise FileNotFoundError(f"expected a sweep in {directory.path}, found none that has begun")
    events = list(directory.ledger.events())
    every = fold(events)
    look = _Look(directory, locked, events, every, held=holder(directory.path), at=time.time())
    return look.now()


@dataclass(frozen=True)
class _Look:
    """All that was read for one look."""

    directory: SweepDirectory
    locked: Locked
    events: Sequence[Event]
    every: Sequence[Trial]
    held: Holder | None
    at: float  # seconds since 1970

    def now(self) -> Now:
        """What follows from it."""
        objective, search = self.locked.objective, self._search
        open_trials = [one for one in self.every if not one.over]
        state = self._state(open_trials)
        lives = state in ("waiting", "running")
        tests = self._doing == "final"
        states = Counter[str](one.state for one in search)
        if not lives and "running" in states:
            states["open"] = states.pop("running")
        running = tuple(self._running(one) for one in open_trials) if lives else ()
        left, seeds = self._left if lives and not tests else (None, 0.0)
        return Now(
            state=state,
            holder=self.held,
            doing=None if state == "done" else self._doing,
            metric=objective.metric,
            mode=objective.direction,
            over=ended(search),
            trials=self._allowed,
            splits=len(self.locked.splits),
            states=dict(states),
            again=sum(one.again for one in search),
            repeats=self._asked_repeats,
            repeats_over=sum(one.over for one in self._repeats),
            best=self._best(done=state == "done"),
            alike=alike(self.directory, self._rows, metric=objective.metric),
            running=running,
            failed=tuple(
                FailedTrial(one.number, one.error or "")
                for one in self.every
                if one.state == "failed"
            ),
            final=self._final,
            hours=hours(self.events) + (self._since_last / 3600 if lives and not tests else 0.0),
            device_hours=self._device_hours(open_trials),
            left=left,
            left_of_seeds=seeds,
        )

    @property
    def _search(self) -> list[Trial]:
        return [one for one in self.every if one.confirms is None]

    @property
    def _repeats(self) -> list[Trial]:
        return [one for one in self.every if one.confirms is not None]

    @property
    def _asked_repeats(self) -> int | None:
        asked = [one for one in self.events if one.get("confirming")]
        return asked[-1].get("trials") if asked else None

    @property
    def _final(self) -> str | None:
        found = final(self.directory)
        return None if found is None else found.said

    @property
    def _doing(self) -> Literal["search", "further seeds", "final"]:
        if self.events and self.events[-1]["event"] == "final":
            return "final"
        return "further seeds" if self._confirming else "search"

    @property
    def _confirming(self) -> bool:
        """Whether the last session trained further seeds, and no trial was allowed since then."""
        last = [one for one in self.events if one["event"] in ("session", "extend")]
        return bool(last and last[-1].get("confirming"))

    @property
    def _session(self) -> Event:
        """The line with which the last session began."""
        begun = [one for one in self.events if one["event"] == "session"]
        return begun[-1] if begun else {"event": "session"}

    @property
    def _allowed(self) -> int | None:
        """Trials of the budget, as the last session or extension has it."""
        for one in reversed(self.events):
            of_search = one["event"] == "session" and not one.get("confirming")
            if "trials" in one and (of_search or one["event"] == "extend"):
                return one["trials"]
        return None

    @property
    def _since_last(self) -> float:
        return max(0.0, self.at - self.events[-1]["time"]) if self.events else 0.0

    def _state(self, open_trials: Sequence[Trial]) -> State:
        last = self.events[-1]["event"] if self.events else None
        if last == "done":
            return "done"
        if self.held is None or not self._lives(self.held, open_trials, last=last):
            whole = self._allowed is not None and ended(self._search) >= self._allowed
            older = whole and not open_trials and last not in ("confirm", "final")
            older = older and self.directory.choice.is_file()
            return "done" if older else "stopped"  # older versions wrote no line at the end
        return "running" if open_trials or last == "final" else "waiting"

    def _lives(self, held: Holder, open_trials: Sequence[Trial], *, last: str | None) -> bool:
        """Whether its driver lives; one of another machine as long as it gives signs."""
        if held.alive is not None:
            return held.alive
        if last == "end":
            return False
        heard = [held.since, *(one["time"] for one in self.events[-1:])]
        for trial in open_trials:
            for run in self.directory.runs(trial.key):
                heard += [_changed(run.journal.path), _changed(run.times.path)]
        return self.at - max(heard) <= self.locked.base_run.failure.stall_timeout

    def _running(self, trial: Trial) -> RunningTrial:
        runs = [(_split(run), run.fetch(_OF_A_RUN)) for run in self.directory.runs(trial.key)]
        seed = trial.configuration.get("seed")
        return RunningTrial(
            trial=trial.number,
            seed=int(seed or 0) if trial.confirms is not None else None,
            parts=tuple(
                _part(split, run)
                for split, run in runs
                if split not in trial.values and not run.finished
            ),
            splits=len(trial.values),
            value=trial.rounds[max(trial.rounds)] if trial.rounds else None,
            configuration=trial.configuration,
        )

    @cached_property
    def _sweep(self) -> SweepConfig:
        return self.locked.as_sweep(self.directory.path, confirm=rule_of(self.events))

    @cached_property
    def _rows(self) -> tuple[Row, ...]:
        return leaderboard(self._sweep, self._search, self._repeats)

    def _best(self, *, done: bool) -> BestTrial | None:
        sweep, rows = self._sweep, self._rows
        known = chosen(self.directory) if done else None
        best = next((row for row in rows if row.trial == known.trial), None) if known else None
        best = best or (rows[0] if rows else None)
        if best is None or best.rank is None or best.value is None:
            return None
        base = next((row for row in rows if row.baseline), None)
        said = known.choice if known is not None else choice(sweep, _first(rows, best))
        metric = sweep.objective.metric
        front = {row.trial: {metric: row.value, **row.further} for row in rows if row.front}
        return BestTrial(
            trial=best.trial,
            baseline=best.baseline,
            value=best.value,
            base=None if base is None else base.value,
            configuration=best.configuration,
            said=said,
            front=front,
            over_seeds=best.over_seeds,
            base_over_seeds=None if base is None else base.over_seeds,
        )

    def _device_hours(self, open_trials: Sequence[Trial]) -> float:
        """Of the whole sweep, what runs now and further seeds included."""
        each = next((one["devices"] for one in reversed(self.events) if "devices" in one), 1.0)
        here = sum(max(0.0, self.directory.seconds(one.key) - one.seconds) for one in open_trials)
        return device_hours(self.events, usual=each) + here * each / 3600

    @property
    def _left(self) -> tuple[float | None, float]:
        """Seconds to the end, by what a trial of this kind took so far; those of seeds to come."""
        at_once = self._session.get("concurrent", 1)

        def of(trials: Sequence[Trial], wanted: int) -> float | None:
            def took(one: Trial) -> float:
                return self.directory.seconds(one.key)

            return seconds_left(trials, wanted=wanted, at_once=at_once, took=took)

        if self._confirming:
            return of(self._repeats, self._session.get("trials", 0)), 0.0
        wanted = self._allowed
        left = None if wanted is None else of(self._search, wanted)
        if wanted is None or left is None:
            return None, 0.0
        allowed = self._session.get("hours")
        if allowed is not None:
            spent = hours(of_the_search(self.events)) * 3600 + self._since_last
            left = min(left, max(0.0, allowed * 3600 - spent))
        seeds = seconds_of_seeds(
            self._sweep, self._search, repeats=self._repeats, wanted=wanted, at_once=at_once
        )
        return left + seeds, seeds


def _first(rows: Sequence[Row], best: Row) -> list[Row]:
    return [best, *(row for row in rows if row is not best)]


def _split(run: RunDirectory) -> int:
    return int(run.path.name.removeprefix("split-"))


def _part(split: int, run: RunDirectory) -> Part:
    step = max((line["step"] for line in run.journal.so_far()), default=0)
    try:
        return Part(split, step, run.settings.training.steps)
    except FileNotFoundError:  # it is about to begin
        return Part(split, 0, 0)


def _changed(path: Any) -> float:
    return path.stat().st_mtime if path.is_file() else 0.0


def plain(now: Now) -> JsonObject:
    """Where a sweep stands, ready for JSON."""
    facts = now._asdict()
    facts["holder"] = now.holder and now.holder._asdict()
    facts["best"] = now.best and now.best._asdict()
    facts["running"] = [
        {**one._asdict(), "parts": [part._asdict() for part in one.parts]} for one in now.running
    ]
    facts["failed"] = [one._asdict() for one in now.failed]
    return facts
