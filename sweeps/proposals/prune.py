"""Which trials go on: compared at equal rungs, and just as strict after a restart."""

import statistics
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Literal, cast

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from sweeps.ledger import Trial
from sweeps.objective import RUNG, VALUE
from sweeps.schema.sweep import SweepConfig


def scheduler(sweep: SweepConfig, *, earlier: Sequence[Trial]) -> TrialScheduler:
    """The scheduler that decides which trials go on.

    Args:
        sweep: The sweep.
        earlier: Trials of earlier sessions, with which new ones are compared.
    """
    # What reached its last rung has been paid for: pruning it would save nothing.
    last = sweep.rounds * len(sweep.splits) - 1
    if sweep.prune.scheduler == "none" or last < sweep.prune.grace:
        return FIFOScheduler()  # type: ignore[no-untyped-call]
    known = _asha(sweep, last=last) if sweep.prune.scheduler == "asha" else _median(sweep, last)
    for trial in earlier:
        if trial.over:
            _replay(known, trial)
    return known


def _asha(sweep: SweepConfig, *, last: int) -> ASHAScheduler:
    return ASHAScheduler(
        time_attr=RUNG,
        metric=VALUE,
        mode=sweep.objective.direction,
        grace_period=sweep.prune.grace,
        reduction_factor=sweep.prune.factor,
        max_t=last,
        stop_last_trials=False,  # max_t bounds the rungs only; a trial ends by itself
    )


def _median(sweep: SweepConfig, last: int) -> "MedianRule":
    return MedianRule(
        mode=sweep.objective.direction,
        rungs=range(sweep.prune.grace, last + 1),
        least=sweep.prune.least,
    )


class MedianRule(FIFOScheduler):
    """Stops a trial that is worse than the median of the others at the same rung.

    Ray Tune's rule compares the best value of a trial so far with running means of others. A mean
    over one split and a mean over two are values of different things, so only equal rungs are
    compared here.

    Source: Golovin et al. 2017 (Vizier), section 3.2.2, with values of one rung for running means.
    """

    def __init__(self, *, mode: Literal["min", "max"], rungs: range, least: int) -> None:
        """Begin without trials.

        Args:
            mode: Which way is better.
            rungs: At which trials are compared.
            least: Other trials that must have reached a rung.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._sign = 1 if mode == "min" else -1
        self._rungs, self._least = rungs, least
        self._values: dict[int, dict[str, float]] = {}  # by rung, then by Ray Tune's id

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Keep the value of a rung, and say whether the trial goes on."""
        here = self._values.setdefault(result[RUNG], {})
        others = [value for known, value in here.items() if known != trial.trial_id]
        value = here.setdefault(trial.trial_id, result[VALUE])
        if result[RUNG] not in self._rungs or len(others) < self._least:
            return TrialScheduler.CONTINUE
        worse = self._sign * value > self._sign * statistics.median(others)
        return TrialScheduler.STOP if worse else TrialScheduler.CONTINUE


def _replay(known: TrialScheduler, trial: Trial) -> None:
    # The scheduler reads nothing of a trial but its id, and nothing of the controller.
    controller, named = cast(Any, None), cast(Any, SimpleNamespace(trial_id=trial.key))
    known.on_trial_add(controller, named)
    for rung, value in sorted(trial.rounds.items()):
        known.on_trial_result(controller, named, {RUNG: rung, VALUE: value})
