"""One trial: a configuration, trained on all splits in fixed order, inside a Ray worker.

The value of a trial is the mean, over the splits begun so far, of each split's best validation
score. A rung counts validation rounds over all splits. At the same rung, two trials have trained
equally long on the same splits; they are compared only there.
"""

import math
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, Required, TypedDict

import ray.tune

from cluster.nodes.stall import Watchdog, watched
from cluster.runs.directory import RunDirectory
from cluster.runs.history.journal import Journal
from cluster.runs.stop import StoppedError
from cluster.settings.config import RunConfig
from cluster.train import train_here
from data_store.store.reader import Store
from scdfm.flow.training import Round
from sweeps.directory import SweepDirectory
from sweeps.pairs.finished import FinishedPairs
from sweeps.proposals.limits import measured_excess
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.space import split_run, trial_key

VALUE, RUNG = "value", "rung"  # names of what Ray Tune compares, and at which time
LEASE_PATIENCE = 30.0  # seconds that a worker of a driver that died may hold a run


class Told(TypedDict, total=False):
    """What a trial reports after a validation round, or at the end of a split."""

    value: Required[float]  # mean so far
    rung: Required[int]
    split: Required[int]
    step: Required[int]
    complete: Required[bool]
    score: float  # of a split that is finished
    taken: str  # beside score: the run of another sweep that it was copied from
    infeasible: str  # what it needs and may not; it was not trained
    limit: str  # which one it exceeds
    share: float  # by how much, as a share of it


Report = Callable[[Told], None]


def tune_trial(configuration: Configuration, sweep: SweepConfig, home: Path) -> None:
    """Run a trial as Ray Tune's trainable.

    Args:
        configuration: Values by dotted name.
        sweep: The sweep.
        home: Working directory of the driver, from which paths resolve.
    """
    os.chdir(home)
    if (found := _excess(configuration, sweep=sweep)) is not None:
        ray.tune.report(found)
        return
    seconds = sweep.run({}, split=0).failure.stall_timeout
    with watched(sweep.directory, who="a trial", seconds=seconds) as watchdog:
        run_trial(configuration, sweep=sweep, report=ray.tune.report, watchdog=watchdog)


def _excess(configuration: Configuration, *, sweep: SweepConfig) -> Told | None:
    """What is reported of a trial that needs more than the sweep's limits; None: it may train."""
    begun = SweepDirectory(sweep.directory).runs(trial_key(sweep, configuration))
    if begun or not sweep.limits.measured:
        return None
    found = measured_excess(configuration, sweep=sweep)
    if found is None:
        return None
    return {
        "value": 0.0,  # of rung 0, which no scheduler looks at
        "rung": 0,
        "split": 0,
        "step": 0,
        "complete": False,
        "infeasible": found.line,
        "limit": found.limit,
        "share": found.share,
    }


def run_trial(
    configuration: Configuration,
    *,
    sweep: SweepConfig,
    report: Report,
    watchdog: Watchdog | None = None,
) -> None:
    """Train a configuration on every split; the result of a finished split is only read.

    Args:
        configuration: Values by dotted name.
        sweep: The sweep.
        report: Receives a line after each validation round and each split: `value` the mean so
            far, `rung`, `split`, `step`; `score` of a split that is finished; `complete`.
        watchdog: Ends the process if it takes no step; none: it is a caller's.

    Raises:
        FloatingPointError: Training diverged, or the metric is undefined on a split.
    """
    finished: list[float] = []
    pairs = FinishedPairs(sweep, fingerprint=_fingerprint(sweep))
    for split in range(len(sweep.splits)):
        run = split_run(sweep, configuration, split=split)
        key = pairs.key(run)
        taken = None if key is None else pairs.take(run, key=key)
        finished.append(
            _train(
                run,
                sweep=sweep,
                fingerprint=pairs.fingerprint,
                before=tuple(finished),
                report=report,
                watchdog=watchdog,
            )
        )
        if key is not None and taken is None:
            pairs.note(run, key=key)
        told: Told = {
            "value": statistics.fmean(finished),
            "rung": len(finished) * _rounds(run),
            "split": split,
            "step": run.training.steps,
            "score": finished[-1],
            "complete": len(finished) == len(sweep.splits),
        }
        report(told if taken is None else {**told, "taken": str(taken)})


def _fingerprint(sweep: SweepConfig) -> str:
    """Of the store's version that the sweep began with: all trials train on one."""
    locked = SweepDirectory(sweep.directory).lock.read()
    if locked is not None:
        return locked.store_fingerprint
    with Store.open(sweep.run({}, split=0).store) as store:
        return store.fingerprint


def _train(
    run: RunConfig,
    *,
    sweep: SweepConfig,
    fingerprint: str,
    before: tuple[float, ...],
    report: Report,
    watchdog: Watchdog | None,
) -> float:
    """Train one split; the objective of its best model.

    Args:
        run: The run of the split.
        sweep: The sweep.
        fingerprint: Of the store's version to train on.
        before: Objectives of the splits before it.
        report: Receives its rounds.
        watchdog: Is told of its steps.
    """
    directory = RunDirectory(run.directory)
    _wait_for_lease(directory)
    rounds = _Rounds(run, directory.journal, sweep=sweep, before=before, report=report)
    rounds.tell()
    device = "cuda" if sweep.resources.gpu else "cpu"
    stop = SweepDirectory(sweep.directory).stop
    try:
        metrics = train_here(
            run,
            device=device,
            fingerprint=fingerprint,
            on_round=rounds.on_round,
            watchdog=watchdog,
            stop=stop,
        ).metrics
    except StoppedError:
        _wait_for_the_end(watchdog)
    directory.forget_states()
    score = metrics[sweep.objective.metric]
    if not math.isfinite(score):
        raise FloatingPointError(
            f"{sweep.objective.metric} is undefined on {run.name} ({run.split.kind}, fold "
            f"{run.split.fold}); choose another objective.metric or more validation cells"
        )
    return score


class _Rounds:
    """Reports the rounds of one split from its journal, those of a killed session first.

    So a restarted trial has the same values at the same rungs as one that was never stopped.
    """

    def __init__(
        self,
        run: RunConfig,
        journal: Journal,
        *,
        sweep: SweepConfig,
        before: tuple[float, ...],
        report: Report,
    ) -> None:
        self._run, self._journal, self._before, self._report = run, journal, before, report
        self._metric = sweep.objective.metric
        self._better = min if sweep.objective.direction == "min" else max
        self._told = 0  # steps

    def on_round(self, outcome: Round) -> bool:
        """Report a round that was just written; True, as only Ray Tune ends training early."""
        self.tell()
        return True

    def tell(self) -> None:
        """Report all rounds not yet reported, except the untrained model's and undefined values."""
        best: float | None = None
        for line in self._journal.lines():
            score = line.get("validation", {}).get(self._metric)
            if score is not None:
                best = score if best is None else self._better(best, score)
            if "validation" in line and best is not None and line["step"] > self._told:
                self._told = line["step"]
                self._report_round(best)

    def _report_round(self, best: float) -> None:
        here = math.ceil(self._told / self._run.training.validate_every)
        self._report(
            {
                "value": statistics.fmean([*self._before, best]),
                "rung": len(self._before) * _rounds(self._run) + here,
                "split": len(self._before),
                "step": self._told,
                "complete": False,
            }
        )


def _rounds(run: RunConfig) -> int:
    return math.ceil(run.training.steps / run.training.validate_every)


def _wait_for_the_end(watchdog: Watchdog | None) -> NoReturn:
    """Wait to be killed: Ray Tune would take a trial that returns or fails for one that is over."""
    if watchdog is not None:
        watchdog.rest()
    while True:
        time.sleep(1)


def _wait_for_lease(directory: RunDirectory) -> None:
    """Let a worker whose driver was killed notice it and go."""
    deadline = time.monotonic() + LEASE_PATIENCE
    while True:
        try:
            with directory.held():
                return
        except ValueError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
