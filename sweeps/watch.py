"""Watching Ray Tune from the driver: every event goes to the ledger, then to the user.

Ray Tune pickles its callbacks and stoppers to restore an experiment, which we never do. The objects
here may hold a live display, which cannot be pickled; Tune's file gets an empty object instead.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import ray.tune
from ray.tune.stopper import NoopStopper

from cluster.runs.directory import RunDirectory
from cluster.storage.storage import StorageError
from cluster.work.group.heard import in_time
from sweeps.budget import begun_before_extension, devices, ended, unrecorded, without_gain
from sweeps.directory import SweepDirectory
from sweeps.events import ENDS, Kind, OnEvent, SweepEvent
from sweeps.ledger import Event, Ledger, Trial, device_hours, fold
from sweeps.objective import RUNG, VALUE
from sweeps.proposals.confirm import SEED, Repeat
from sweeps.results import best_of
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.space import begun_keys, identity, trial_key
from sweeps.trials.reason import reason
from sweeps.trials.reported import Reported
from sweeps.watching.left import seconds_left, seconds_of_seeds

_LOOK = 10.0  # seconds between two looks at how long the splits of a trial have trained


class Watch(ray.tune.Callback):
    """Writes the ledger and reports each round and the end of each trial.

    Attributes:
        begun: Keys of the trials that had begun before this session, by identity.
        waits: Whether trials wait for room and none runs.
        failed: Trials that failed since the sweep was last stopped for failures.
        reason: Why the first of them did.
    """

    def __init__(
        self,
        sweep: SweepConfig,
        *,
        ledger: Ledger,
        report: OnEvent,
        repeats: Sequence[Repeat] = (),
        numbers: Mapping[str, int] | None = None,
        at_once: int = 1,
        seconds: float | None = None,
    ) -> None:
        """Go on from a ledger.

        Args:
            sweep: The sweep.
            ledger: Is written to.
            report: Receives what happens.
            repeats: What is trained with further seeds; none: trials are those of the search.
            numbers: Of trials in the study, by their identity, as the search fills them in.
            at_once: Trials that run side by side.
            seconds: That the budget still allows; none: no limit.
        """
        self._sweep, self._ledger, self._report = sweep, ledger, report
        searched, further = ledger.trials(), ledger.repeats()
        self._searched = tuple(searched) if repeats else ()
        self._further = () if repeats else tuple(further)
        self._repeats = {identity(one.configuration): one.confirms for one in repeats}
        self._numbers = {trial.key: trial.number for trial in searched}
        self._in_study = {} if numbers is None else numbers
        known = further if repeats else searched
        self._trials = {trial.key: trial for trial in known}
        over = sum(trial.over for trial in known)
        self._total = over + len(repeats) if repeats else sweep.budget.trials
        self.begun = begun_keys(sweep)
        self._baseline = identity(sweep.baseline)
        self._at_once = at_once
        self._until = math.inf if seconds is None else time.monotonic() + seconds
        self._keys: dict[str, str] = {}  # by Ray Tune's id of the trial
        self._began: dict[str, float] = {}
        # Of trials that run: when we looked, and seconds of their splits beside the first.
        self._beside: dict[str, tuple[float, float]] = {}
        # Seconds of sessions that the ledger has no end of.
        begun = (trial for trial in self._trials.values() if not trial.over)
        self._earlier = {trial.key: unrecorded(sweep, trial) for trial in begun}
        self._devices, self._spent = devices(sweep), ledger.device_hours(usual=devices(sweep))
        self._others = self._hours_of_others()
        self._after = begun_before_extension(ledger)
        failures = [
            trial for trial in self._trials.values() if trial.state == "failed" and trial.over
        ]
        self.waits = False
        self.failed = len(failures)
        self.reason = failures[0].error if failures else None

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as an empty callback in Ray Tune's own files."""
        return ray.tune.Callback, ()

    @property
    def running(self) -> list[str]:
        """Keys of the trials that train now."""
        return [key for key in self._began if not self._trials[key].over]

    def _hours_of_others(self) -> float:
        """Device-hours that `device_hours` leaves out: of earlier further seeds, above all."""
        events = list(self._ledger.events())
        others = [one for one in fold(events) if one.key not in self._trials and not one.over]
        left_open = sum(unrecorded(self._sweep, one) for one in others)
        recorded = device_hours(events, usual=self._devices) - self._spent
        return recorded + self._devices * left_open / 3600

    @property
    def device_hours(self) -> float:
        """Hours of the search so far, and of further seeds that train now, times their devices."""
        running = self.running
        found = sum(self._so_far(key) for key in running)
        found += sum(took for key, took in self._earlier.items() if key not in running)
        return self._spent + self._devices * found / 3600

    @property
    def no_gain(self) -> int:
        """Trials that began after the best one, ended, and were not better."""
        return without_gain(self._sweep, list(self._trials.values()), after=self._after)

    @property
    def _left(self) -> float | None:
        """Seconds until all has been trained, as `scdfm inspect` tells it, too."""

        def took(trial: Trial) -> float:
            begun = trial.key in self._began
            here = self._so_far(trial.key) if begun else self._earlier.get(trial.key, 0.0)
            return trial.seconds + here

        every = list(self._trials.values())
        left = seconds_left(every, wanted=self._total, at_once=self._at_once, took=took)
        if left is None:
            return None
        left = min(left, max(0.0, self._until - time.monotonic()))
        return left if self._repeats else left + self._left_of_seeds(every)

    def _left_of_seeds(self, trials: Sequence[Trial]) -> float:
        return seconds_of_seeds(
            self._sweep,
            trials,
            repeats=self._further,
            wanted=self._total,
            at_once=self._at_once,
        )

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Number new trials in the order of their proposals; workers may start in another order."""
        for trial in trials:
            self._number(trial)
        states = {trial.status for trial in trials}
        self.waits = "PENDING" in states and "RUNNING" not in states

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins, or begins again after a failure."""
        known = self._number(trial)
        if known.key not in self._began:
            self._began[known.key] = time.monotonic()  # first: the event counts it as running
            name = self._sweep.name_of(known.configuration)
            self._tell("start", known, configuration=known.configuration, name=name)

    def _number(self, trial: Any) -> Trial:
        if trial.trial_id in self._keys:
            return self._trials[self._keys[trial.trial_id]]
        configuration = dict(trial.config)
        key = trial_key(self._sweep, configuration, begun=self.begun)
        self._keys[trial.trial_id] = key
        if key not in self._trials:
            baseline = identity(configuration) == self._baseline
            confirms = self._repeats.get(identity(configuration))
            event: Event = {
                "event": "start",
                "trial": key,
                "configuration": configuration,
                "baseline": baseline,
            }
            if confirms is None:
                number = self._in_study.get(identity(configuration), len(self._trials) + 1)
                event["number"] = number
            else:
                number = self._numbers.get(confirms, 0)
                event["confirms"] = confirms
            self._ledger.write(event)
            self._trials[key] = Trial(
                key=key,
                number=number,
                configuration=configuration,
                baseline=baseline,
                confirms=confirms,
            )
        return self._trials[key]

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: Reported, **info: Any
    ) -> None:
        """A validation round, or the end of a split."""
        if "infeasible" in result:
            return
        known = self._number(trial)
        value, rung, split = result[VALUE], result[RUNG], result["split"]
        known.begun = max(known.begun, split + 1)
        if "score" in result:
            score, taken = result["score"], result.get("taken")
            if split not in known.values:
                event: Event = {"event": "split", "trial": known.key, "split": split}
                event["value"] = score
                if "further" in result:
                    event["further"] = known.further[split] = dict(result["further"])
                if taken is not None:
                    event["taken"] = taken
                self._ledger.write(event)
            known.values[split] = score
            self._tell("split", known, split=split, value=score, taken=taken)
            return
        if rung not in known.rounds:
            self._ledger.write({"event": "round", "trial": known.key, "rung": rung, "value": value})
        known.rounds[rung] = value
        self._tell("round", known, split=split, step=result["step"], value=value)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed and is tried again, from the last step that it has kept."""
        known = self._number(trial)
        split = min(len(known.values), len(self._sweep.splits) - 1)
        runs = SweepDirectory(self._sweep.directory).trial(known.key)
        step = in_time(lambda: kept_step(RunDirectory(runs / f"split-{split}")))
        self._tell("retry", known, split=split, step=step, error=reason(trial))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial finished all splits, was pruned, or needs more than it may."""
        known = self._number(trial)
        if "infeasible" in trial.last_result:
            self._end(known, "infeasible", error=trial.last_result["infeasible"])
            return
        self._end(known, "complete" if trial.last_result.get("complete") else "pruned")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed for good."""
        self.failed += 1
        said = reason(trial)
        self.reason = self.reason or said
        self._end(self._number(trial), "failed", error=said)

    def _end(
        self,
        trial: Trial,
        state: Literal["complete", "pruned", "failed", "infeasible"],
        *,
        error: str | None = None,
    ) -> None:
        if trial.over:
            return
        seconds = self._seconds(trial.key)
        trial.seconds += seconds
        self._spent += self._devices * seconds / 3600
        event: Event = {"event": state, "trial": trial.key, "seconds": seconds}
        self._ledger.write(event if error is None else {**event, "error": error})
        trial.state, trial.again = state, False
        at = trial.begun - 1 if trial.begun else None
        self._tell(state, trial, value=trial.so_far, split=at, error=error)

    def leave(self) -> None:
        """A session ends: what its open trials took is written, and when it ended."""
        for key in self.running:
            event: Event = {"event": "open", "trial": key, "seconds": self._seconds(key)}
            self._ledger.write(event)
        self._ledger.write({"event": "end"})

    def _so_far(self, key: str) -> float:
        """Seconds that the ledger lacks of a trial that runs, by its journals of just now."""
        now = time.monotonic()
        found = now - self._began[key] + self._earlier.get(key, 0.0)
        if self._sweep.resources.parallel_splits == 1:
            return found
        looked, beside = self._beside.get(key, (-math.inf, 0.0))
        if now - looked > _LOOK:
            told = in_time(lambda: unrecorded(self._sweep, self._trials[key]))
            beside = beside if told is None else max(beside, told - found)
            self._beside[key] = now, beside
        return found + beside

    def _seconds(self, key: str) -> float:
        """What a trial took and the ledger does not have yet."""
        here = time.monotonic() - self._began.get(key, time.monotonic())
        found = here + self._earlier.pop(key, 0.0)
        if self._sweep.resources.parallel_splits != 1:
            # Splits side by side take the time of several.
            found = max(found, unrecorded(self._sweep, self._trials[key]))
        return round(found, 3)

    def _tell(
        self,
        kind: Kind,
        trial: Trial,
        *,
        value: float | None = None,
        split: int | None = None,
        step: int | None = None,
        configuration: Configuration | None = None,
        name: str | None = None,
        error: str | None = None,
        taken: str | None = None,
    ) -> None:
        every = list(self._trials.values())
        trials, further = (self._searched, every) if self._repeats else (every, self._further)
        best = best_of(self._sweep, trials, further)
        running = len(self.running)
        states = Counter[str](one.state for one in every if one.over)
        self._report(
            SweepEvent(
                kind=kind,
                trial=trial.number,
                trials=self._total,
                over=ended(every),
                metric=self._sweep.objective.metric,
                best=None if best is None else best.mean,
                best_trial=None if best is None else best.number,
                states={"running": running, **{one: states[one] for one in ENDS}},
                device_hours=self.device_hours + self._others,
                left=self._left,
                seed=None if trial.confirms is None else int(trial.configuration[SEED] or 0),
                value=value,
                split=split,
                step=step,
                configuration=configuration,
                name=name,
                error=error,
                taken=taken,
            )
        )


class TooManyFailures(ray.tune.Stopper):
    """Stops the sweep when more trials failed than `failure.max_failed_fraction` allows.

    Args:
        watch: Counts failures.
        allowed: Trials that may fail.
        gives_up: Whether to stop for another reason.
    """

    def __init__(
        self, watch: Watch, *, allowed: float, gives_up: Callable[[], bool] = lambda: False
    ) -> None:
        self._watch, self._allowed, self._gives_up = watch, allowed, gives_up

    @property
    def too_many(self) -> bool:
        """Whether more failed than may."""
        return self._watch.failed > self._allowed

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as a stopper that never stops in Ray Tune's own files."""
        return NoopStopper, ()

    def __call__(self, trial_id: str, result: Reported) -> bool:
        """Never stop a single trial."""
        return False

    def stop_all(self) -> bool:
        """Whether to stop everything."""
        return self.too_many or self._gives_up()


def kept_step(run: RunDirectory) -> int | None:
    """The step of a run's newest training state, wherever it is; None if that is not known."""
    with suppress(StorageError, ValueError):
        stored = run.stored_step()
        return run.states.step if stored is None else stored
    return None
