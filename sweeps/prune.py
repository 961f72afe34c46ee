"""Asynchronous successive halving over rungs, just as strict after a restart."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

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
    last = sweep.rounds * len(sweep.splits) - 1 if sweep.prune.scheduler == "asha" else 0
    if last < sweep.prune.grace:
        return FIFOScheduler()  # type: ignore[no-untyped-call]
    asha = ASHAScheduler(
        time_attr=RUNG,
        metric=VALUE,
        mode=sweep.objective.direction,
        grace_period=sweep.prune.grace,
        reduction_factor=sweep.prune.factor,
        max_t=last,
        stop_last_trials=False,  # max_t bounds the rungs only; a trial ends by itself
    )
    for trial in earlier:
        if trial.over:
            _replay(asha, trial)
    return asha


def _replay(asha: ASHAScheduler, trial: Trial) -> None:
    # The scheduler reads nothing of a trial but its id, and nothing of the controller.
    controller, known_as = cast(Any, None), cast(Any, SimpleNamespace(trial_id=trial.key))
    asha.on_trial_add(controller, known_as)
    for rung, value in sorted(trial.rounds.items()):
        asha.on_trial_result(controller, known_as, {RUNG: rung, VALUE: value})
