"""Which trials go on: compared at equal rungs, and just as strict after a restart."""

import logging
import statistics
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Literal, cast

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from sweeps.ledger import Trial
from sweeps.objective import RUNG, VALUE
from sweeps.schema.sweep import SweepConfig
from sweeps.space import identity
from sweeps.trials.reported import Reported

log = logging.getLogger(__name__)


def say_if_base_is_pruned(earlier: Sequence[Trial]) -> None:
    """Say that an older version has pruned a sweep's base, which stays without a value."""
    for trial in earlier:
        if trial.baseline and trial.state == "pruned":
            log.warning(
                "an older version pruned the base, trial %d, and it is not trained again: winners "
                "lack its scores to compare with; --new begins afresh",
                trial.number,
            )


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
    asha = sweep.prune.scheduler == "asha"
    known = _SparingAsha(sweep, last=last) if asha else _SparingMedian(sweep, last=last)
    for trial in earlier:
        if trial.over:
            _replay(known, trial)
    return known


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

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Reported) -> str:
        """Keep the value of a rung, and say whether the trial goes on."""
        here = self._values.setdefault(result[RUNG], {})
        others = [value for known, value in here.items() if known != trial.trial_id]
        value = here.setdefault(trial.trial_id, result[VALUE])
        if result[RUNG] not in self._rungs or len(others) < self._least:
            return TrialScheduler.CONTINUE
        worse = self._sign * value > self._sign * statistics.median(others)
        return TrialScheduler.STOP if worse else TrialScheduler.CONTINUE


class _Sparing(TrialScheduler):
    """Lets the base go on whatever its values are: others are compared with it in the end.

    Its values count like any trial's, so that those that are worse are stopped.
    """

    _base: str  # identity of its configuration

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Reported) -> str:
        """What the rule says, but of the base."""
        decided = super().on_trial_result(tune_controller, trial, result)
        return TrialScheduler.CONTINUE if identity(trial.config) == self._base else decided


class _SparingAsha(_Sparing, ASHAScheduler):
    def __init__(self, sweep: SweepConfig, *, last: int) -> None:
        """Begin without trials; the last rung is compared, too."""
        super().__init__(
            time_attr=RUNG,
            metric=VALUE,
            mode=sweep.objective.direction,
            grace_period=sweep.prune.grace,
            reduction_factor=sweep.prune.factor,
            max_t=last,
            stop_last_trials=False,  # max_t bounds the rungs only; a trial ends by itself
        )
        self._base = identity(sweep.baseline)


class _SparingMedian(_Sparing, MedianRule):
    def __init__(self, sweep: SweepConfig, *, last: int) -> None:
        """Begin without trials; the last rung is compared, too."""
        super().__init__(
            mode=sweep.objective.direction,
            rungs=range(sweep.prune.grace, last + 1),
            least=sweep.prune.least,
        )
        self._base = identity(sweep.baseline)


def _replay(known: TrialScheduler, trial: Trial) -> None:
    # The scheduler reads nothing of a trial but id and configuration, nothing of the controller.
    controller = cast(Any, None)
    named = cast(Any, SimpleNamespace(trial_id=trial.key, config=trial.configuration))
    known.on_trial_add(controller, named)
    for rung, value in sorted(trial.rounds.items()):
        known.on_trial_result(controller, named, {RUNG: rung, VALUE: value})
