"""One trial: a configuration, trained on all splits in fixed order, inside a Ray worker.

The value of a trial at any time is the mean over the splits begun so far of the best validation
score of each. A rung counts validation rounds over all splits; at equal rungs two trials have seen
equal splits for equally long, and only there are they compared.
"""

import math
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.tune

from cluster.journal import FILE as JOURNAL
from cluster.journal import read_lines
from cluster.learn import forget
from cluster.lease import lease
from cluster.run import RunConfig
from cluster.train import train_here
from scdfm.training import Round
from sweeps.schema import Configuration, SweepConfig
from sweeps.space import split_run

VALUE, RUNG = "value", "rung"  # names of what Ray Tune compares, and at which time
LEASE_PATIENCE = 30.0  # seconds that a worker of a driver that died may hold a run

Report = Callable[[dict[str, Any]], None]


def tune_trial(configuration: Configuration, sweep: SweepConfig, home: Path) -> None:
    """Run a trial as Ray Tune's trainable.

    Args:
        configuration: Values by dotted name.
        sweep: The sweep.
        home: Working directory of the driver, from which paths resolve.
    """
    os.chdir(home)
    run_trial(configuration, sweep=sweep, report=ray.tune.report)


def run_trial(configuration: Configuration, *, sweep: SweepConfig, report: Report) -> None:
    """Train a configuration on every split; what is finished already is only read.

    Args:
        configuration: Values by dotted name.
        sweep: The sweep.
        report: Receives a line after each validation round and each split: `value` the mean so
            far, `rung`, `split`, `step`; `score` of a split that is finished; `complete`.

    Raises:
        FloatingPointError: Training diverged, or the metric is undefined on a split.
    """
    finished: list[float] = []
    for split in range(len(sweep.splits)):
        run = split_run(sweep, configuration, split=split)
        before = tuple(finished)

        def on_round(outcome: Round, *, run: RunConfig = run, before: Any = before) -> bool:
            _report_round(outcome, sweep=sweep, run=run, before=before, report=report)
            return True

        score = _train(run, sweep=sweep, on_round=on_round)
        finished.append(score)
        report(
            {
                VALUE: statistics.fmean(finished),
                RUNG: len(finished) * _rounds(run),
                "split": split,
                "step": run.training.steps,
                "score": score,
                "complete": len(finished) == len(sweep.splits),
            }
        )


def _train(run: RunConfig, *, sweep: SweepConfig, on_round: Callable[[Round], bool]) -> float:
    """Train one split; the objective of its best model."""
    _wait_for_lease(run.directory)
    metrics = train_here(run, on_round=on_round).metrics
    forget(run.directory)
    score = metrics[sweep.objective.metric]
    if not math.isfinite(score):
        raise FloatingPointError(
            f"{sweep.objective.metric} is undefined on {run.name} ({run.split.kind}, fold "
            f"{run.split.fold}); choose another objective.metric or more validation cells"
        )
    return score


def _report_round(
    outcome: Round, *, sweep: SweepConfig, run: RunConfig, before: tuple[float, ...], report: Report
) -> None:
    """Tell the mean so far; the untrained model's round and an undefined value tell nothing."""
    best = _best_score(run, sweep=sweep)
    if outcome.step == 0 or best is None:
        return
    rounds_here = math.ceil(outcome.step / run.training.validate_every)
    report(
        {
            VALUE: statistics.fmean([*before, best]),
            RUNG: len(before) * _rounds(run) + rounds_here,
            "split": len(before),
            "step": outcome.step,
            "complete": False,
        }
    )


def _best_score(run: RunConfig, *, sweep: SweepConfig) -> float | None:
    """The best validation score of a run so far, from its journal: a restart forgets nothing."""
    lines = [
        line["validation"] for line in read_lines(run.directory / JOURNAL) if "validation" in line
    ]
    scores: list[float | None] = [line[sweep.objective.metric] for line in lines]
    defined = [score for score in scores if score is not None]
    if not defined:
        return None
    return min(defined) if sweep.objective.direction == "min" else max(defined)


def _rounds(run: RunConfig) -> int:
    return math.ceil(run.training.steps / run.training.validate_every)


def _wait_for_lease(directory: Path) -> None:
    """Let a worker whose driver was killed notice it and go."""
    deadline = time.monotonic() + LEASE_PATIENCE
    while True:
        try:
            with lease(directory):
                return
        except ValueError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
