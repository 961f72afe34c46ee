"""What a sweep has spent of its budget, over all its sessions."""

import math
from collections.abc import Sequence
from itertools import chain, count
from typing import NamedTuple, Self

from cluster.storage.places import local, named
from sweeps.directory import SweepDirectory
from sweeps.ledger import Ledger, Trial
from sweeps.schema.rules import BudgetConfig
from sweeps.schema.sweep import SweepConfig
from sweeps.winners.front import front

NO_GAIN = "budget.no_gain"


class Spent(NamedTuple):
    """What was spent so far.

    Attributes:
        trials: That ended; those that were infeasible cost nothing.
        hours: Of the sweep, without pauses.
        device_hours: Of all trials, times their GPUs or cores.
        no_gain: Trials that ended after the best one began, later than it, and were not better.
    """

    trials: int
    hours: float
    device_hours: float
    no_gain: int

    @classmethod
    def of(cls, sweep: SweepConfig, ledger: Ledger) -> Self:
        """What a sweep's ledger and runs tell."""
        trials = ledger.trials()
        return cls(
            trials=ended(trials),
            hours=ledger.hours(),
            device_hours=device_hours(sweep, ledger, trials),
            no_gain=without_gain(sweep, trials, after=begun_before_extension(ledger)),
        )

    def over(self, budget: BudgetConfig) -> str | None:
        """Which part of the budget is used up; none: the sweep may go on."""
        for name, spent in self._asdict().items():
            allowed = getattr(budget, name)
            if reached(allowed, spent):
                return f"budget.{name}"
        return None


def why_over(sweep: SweepConfig, ledger: Ledger) -> str:
    """Why a sweep has no trial left, in words."""
    over = Spent.of(sweep, ledger).over(sweep.budget)
    if over != "budget.trials":
        return f"{over} is used up: the sweep has ended"
    if sweep.configurations:
        return f"all {len(sweep.configurations)} configurations were run before"
    return (
        f"all {sweep.budget.trials} trials of the budget ended before; --extend N adds some, --new "
        "begins afresh"
    )


def reached(allowed: float | None, spent: float) -> bool:
    """Whether a part of the budget is used up; None: it has no limit."""
    return allowed is not None and spent >= allowed


def ended(trials: Sequence[Trial]) -> int:
    """Trials that count in budget.trials."""
    return sum(trial.over and trial.state != "infeasible" for trial in trials)


def devices(sweep: SweepConfig) -> float:
    """GPUs of a trial, or its cores where it has none."""
    each = sweep.resources.gpu or sweep.resources.cpu
    return each * max(1, sweep.resources.workers)


def device_hours(sweep: SweepConfig, ledger: Ledger, trials: Sequence[Trial]) -> float:
    """Hours of all trials, those that were stopped in their middle included, times devices."""
    open_seconds = sum(unrecorded(sweep, trial) for trial in trials if not trial.over)
    each = devices(sweep)
    return ledger.device_hours(usual=each) + open_seconds * each / 3600


def unrecorded(sweep: SweepConfig, trial: Trial) -> float:
    """Seconds that a trial has trained and the ledger has no end of."""
    return max(0.0, SweepDirectory(sweep.directory).seconds(trial.key) - trial.seconds)


def without_gain(sweep: SweepConfig, trials: Sequence[Trial], *, after: int = 0) -> int:
    """Trials that began after the best one, ended, and were not better.

    With several metrics the newest trial of the front stands for the best one.

    Args:
        sweep: The sweep.
        trials: All of them.
        after: Trials that had begun when the budget was extended; they no longer count.
    """
    complete = [one for one in trials if one.state == "complete" and math.isfinite(one.mean)]
    if not complete:
        return 0
    if sweep.objective.further:
        newest = max(one.number for one in front(complete, objective=sweep.objective))
    else:
        sign = sweep.objective.sign
        newest = min(complete, key=lambda trial: (sign * trial.mean, trial.number)).number
    since = max(newest, after)
    return ended([trial for trial in trials if trial.number > since])


def begun_before_extension(ledger: Ledger) -> int:
    """The highest number of a trial that had begun when the budget was last extended."""
    extension = ledger.extension()
    return 0 if extension is None else extension["begun"]


def extended(sweep: SweepConfig, ledger: Ledger) -> SweepConfig:
    """The sweep with the trials that `--extend` has allowed; a budget changed since then counts."""
    extension = ledger.extension()
    if extension is None or extension["of"] != sweep.budget.trials:
        return sweep
    budget = sweep.budget.model_copy(update={"trials": extension["trials"]})
    return sweep.model_copy(update={"budget": budget})


def require_used_up(sweep: SweepConfig, ledger: Ledger) -> Spent:
    """Refuse to add trials to a budget that has some left: asked twice, they would be added twice.

    Raises:
        ValueError: There is no sweep, trials are left, or not trials are what is used up.
    """
    if not ledger.path.is_file():
        where = named(sweep.directory)
        raise ValueError(
            f"no sweep {where} yet, so --extend has nothing to add to; begin it without --extend, "
            "or name the one that is meant with --set name=NAME"
        )
    if sweep.configurations:
        raise ValueError("--extend does not belong to a list of configurations; add to the list")
    now = extended(sweep, ledger)
    spent = Spent.of(now, ledger)
    over = spent.over(now.budget)
    if over is None:
        raise ValueError(
            f"{now.budget.trials - spent.trials} of {now.budget.trials} trials are left; run "
            "`scdfm tune` without --extend until they have ended"
        )
    if over not in ("budget.trials", NO_GAIN):
        raise ValueError(
            f"{over} is used up and --extend adds trials only; raise it: --set {over}=N"
        )
    return spent


def with_more(sweep: SweepConfig, ledger: Ledger, *, more: int) -> SweepConfig:
    """The sweep as `extend` would allow it; writes nothing.

    Raises:
        ValueError: As `require_used_up`.
    """
    trials = require_used_up(sweep, ledger).trials + more
    budget = sweep.budget.model_copy(update={"trials": trials})
    return sweep.model_copy(update={"budget": budget})


def extend(sweep: SweepConfig, ledger: Ledger, *, more: int) -> SweepConfig:
    """Allow more trials than a budget that is used up, and write so; hold the sweep's lease.

    Raises:
        ValueError: As `require_used_up`.
    """
    trials = with_more(sweep, ledger, more=more).budget.trials
    begun = max((one.number for one in ledger.trials()), default=0)
    ledger.write({"event": "extend", "trials": trials, "of": sweep.budget.trials, "begun": begun})
    return extended(sweep, ledger)


def beside(sweep: SweepConfig) -> SweepConfig:
    """The same sweep under the next free name, if there is one of its name already."""
    names = chain([sweep.name], (f"{sweep.name}-{number}" for number in count(2)))
    name = next(name for name in names if not SweepDirectory(local(sweep.output) / name).exists)
    return sweep.model_copy(update={"name": name})
