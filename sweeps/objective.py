"""One trial: a configuration, trained on all splits in fixed order, inside a Ray worker.

The value of a trial is the mean, over the splits begun so far, of each split's best validation
score. A rung counts validation rounds over all splits. At the same rung, two trials have trained
equally long on the same splits; they are compared only there.
"""

import math
import os
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Literal, NoReturn, Required, TypedDict

import ray.tune

from cluster.nodes.stall import Watchdog, watched
from cluster.runs.directory import RunDirectory
from cluster.runs.find_model import SWEEP
from cluster.runs.history.journal import FILE as JOURNAL
from cluster.runs.stop import StoppedError
from cluster.settings.config import RunConfig
from cluster.storage.places import named
from cluster.storage.wanted import these
from data_store.store.reader import Store
from scdfm.flow.training import Round
from sweeps.directory import SweepDirectory
from sweeps.pairs.finished import FinishedPairs
from sweeps.proposals.limits import measured_excess
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.space import split_run, trial_key
from sweeps.trials.ahead import Ahead
from sweeps.trials.memory import of_one_type
from sweeps.trials.pair import train_pair

VALUE, RUNG = "value", "rung"  # names of what Ray Tune compares, and at which time
MEANS: Literal["means"] = "means"  # likewise of what it hands to the search


class Told(TypedDict, total=False):
    """What a trial reports after a validation round, or at the end of a split."""

    value: Required[float]  # mean so far
    rung: Required[int]
    split: Required[int]
    step: Required[int]
    complete: Required[bool]
    score: float  # of a split that is finished
    further: dict[str, float]  # beside score: by further metrics
    means: dict[str, float]  # likewise, over the splits so far
    taken: str  # beside score: the run of another sweep that it was copied from
    infeasible: str  # what it needs and may not; it was not trained
    limit: str  # which one it exceeds
    share: float  # by how much, as a share of it


Report = Callable[[Told], None]


def tune_trial(
    configuration: Configuration, sweep: SweepConfig, home: Path, begun: Mapping[str, str]
) -> None:
    """Run a trial as Ray Tune's trainable.

    Args:
        configuration: Values by dotted name.
        sweep: The sweep.
        home: Working directory of the driver, from which paths resolve.
        begun: Keys of trials that had begun before this session.
    """
    # Another machine may not have it; then paths are absolute, or addresses.
    if home.is_dir():
        os.chdir(home)
    SweepDirectory(sweep.directory).fetch(these(SWEEP))
    key = trial_key(sweep, configuration, begun=begun)
    if (found := _excess(configuration, sweep=sweep, key=key)) is not None:
        ray.tune.report(found)
        return
    seconds = sweep.run({}, split=0).failure.stall_timeout
    with watched(sweep.directory, who="a trial", seconds=seconds) as watchdog:
        trained = partial(run_trial, configuration, sweep=sweep, report=ray.tune.report, key=key)
        of_one_type(partial(trained, watchdog=watchdog, in_turn=False))


def _excess(configuration: Configuration, *, sweep: SweepConfig, key: str) -> Told | None:
    """What is reported of a trial that needs more than the sweep's limits; None: it may train."""
    if not sweep.limits.measured or SweepDirectory(sweep.directory).runs(key):
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
    key: str | None = None,
    watchdog: Watchdog | None = None,
    in_turn: bool = True,
) -> None:
    """Train a configuration on every split; the result of a finished split is only read.

    Args:
        configuration: Values by dotted name.
        sweep: The sweep.
        report: Receives a line after each validation round and each split: `value` the mean so
            far, `rung`, `split`, `step`; `score` of a split that is finished; `complete`.
        key: Of the trial; none: `trial_key` finds it.
        watchdog: Ends the process if it takes no step; none: it is a caller's.
        in_turn: One split after the other, without Ray, whatever the sweep allows.

    Raises:
        FloatingPointError: Training diverged, or the metric is undefined on a split.
    """
    finished: list[float] = []
    further: list[dict[str, float]] = []
    key = key or trial_key(sweep, configuration)
    pairs = FinishedPairs(sweep, fingerprint=_fingerprint(sweep))
    most = 1 if in_turn else sweep.resources.side_by_side(len(sweep.splits))
    with Ahead(configuration, key=key, pairs=pairs, most=most) as ahead:
        for split in range(len(sweep.splits)):
            run = split_run(sweep, configuration, split=split, key=key)
            rounds = _Rounds(run, sweep=sweep, before=tuple(finished), report=report)
            scores, taken = _trained(rounds, pairs=pairs, ahead=ahead, watchdog=watchdog)
            finished.append(scores.pop(sweep.objective.metric))
            further.append(scores)
            told: Told = {
                "value": statistics.fmean(finished),
                "rung": len(finished) * _rounds(run),
                "split": split,
                "step": run.training.steps,
                "score": finished[-1],
                "complete": len(finished) == len(sweep.splits),
            }
            if scores:
                told["further"] = scores
                told[MEANS] = {n: statistics.fmean(one[n] for one in further) for n in scores}
            report(told if taken is None else {**told, "taken": taken})


def _fingerprint(sweep: SweepConfig) -> str:
    """Of the store's version that the sweep began with: all trials train on one."""
    locked = SweepDirectory(sweep.directory).lock.read()
    if locked is not None:
        return locked.store_fingerprint
    with Store.open(sweep.run({}, split=0).store) as store:
        return store.fingerprint


def _trained(
    rounds: "_Rounds", *, pairs: FinishedPairs, ahead: Ahead, watchdog: Watchdog | None
) -> tuple[dict[str, float], str | None]:
    """Scores of a split's best model by metric, and the run that it was copied from, if it was.

    Args:
        rounds: Of the split; reports them.
        pairs: Those that sweeps have finished.
        ahead: What may have begun the split already.
        watchdog: Is told of its steps.
    """
    run = rounds.run
    with nullcontext() if watchdog is None else watchdog.resting():
        elsewhere = ahead.finish(rounds.split, meanwhile=rounds.follow)
    try:
        here = train_pair(
            run,
            pairs=pairs,
            watchdog=watchdog,
            tell=rounds.tell,
            on_round=rounds.on_round,
        )
    except StoppedError:
        wait_for_the_end(watchdog)
    rounds.tell()
    known = rounds.directory.result().metrics
    scores = {name: known.get(name, math.nan) for name in pairs.sweep.objective.names}
    for name, score in scores.items():
        if not math.isfinite(score):
            raise FloatingPointError(
                f"{name} is undefined on {run.name} ({run.split.kind}, fold {run.split.fold}); "
                "choose another objective.metric or more validation cells"
            )
    return scores, elsewhere if here is None else named(here)


class _Rounds:
    """Reports the rounds of one split from its journal, those of a killed session first.

    So a restarted trial has the same values at the same rungs as one that was never stopped.
    """

    def __init__(
        self,
        run: RunConfig,
        *,
        sweep: SweepConfig,
        before: tuple[float, ...],
        report: Report,
    ) -> None:
        self.run, self._before, self._report = run, before, report
        self.directory = RunDirectory(run.directory)
        self._journal = self.directory.journal
        self._metric = sweep.objective.metric
        self._better = min if sweep.objective.direction == "min" else max
        self._told = 0  # steps

    @property
    def split(self) -> int:
        """Which one it is, by position."""
        return len(self._before)

    def on_round(self, outcome: Round) -> bool:
        """Report a round that was just written; True, as only Ray Tune ends training early."""
        self.tell()
        return True

    def follow(self) -> None:
        """Report what another process, maybe on another machine, has written."""
        self.directory.fetch(these(JOURNAL))
        self.tell()

    def tell(self) -> None:
        """Report all rounds not yet reported, except the untrained model's and undefined values."""
        best: float | None = None
        done = self.directory.finished
        for line in self._journal.complete() if done else self._journal.so_far():
            score = line.get("validation", {}).get(self._metric)
            if score is not None:
                best = score if best is None else self._better(best, score)
            if "validation" in line and best is not None and line["step"] > self._told:
                self._told = line["step"]
                self._report_round(best)

    def _report_round(self, best: float) -> None:
        here = math.ceil(self._told / self.run.training.validate_every)
        self._report(
            {
                "value": statistics.fmean([*self._before, best]),
                "rung": len(self._before) * _rounds(self.run) + here,
                "split": len(self._before),
                "step": self._told,
                "complete": False,
            }
        )


def _rounds(run: RunConfig) -> int:
    return math.ceil(run.training.steps / run.training.validate_every)


def wait_for_the_end(watchdog: Watchdog | None) -> NoReturn:
    """Wait to be killed: who returns or fails would be taken for one that is over."""
    if watchdog is not None:
        watchdog.rest()
    while True:
        time.sleep(1)
