"""What a sweep would do and cost, before it costs anything: `scdfm tune SWEEP --dry-run`.

Nothing is written where the sweep will live. Three configurations are measured on a machine of the
cluster, by a few steps each: the smallest, the base, the largest.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import optuna
from optuna.storages import InMemoryStorage

from cluster.session import fits, session
from scdfm.screen.progress import phase
from sweeps.budget import Spent, devices, ended, extended, why_over, with_more
from sweeps.directory import SweepDirectory
from sweeps.ledger import Ledger, Trial
from sweeps.lock import say_if_renamed
from sweeps.proposals.cells import check_data
from sweeps.proposals.confirm import missing
from sweeps.proposals.measured import Measured, measured, require_fitting, shown
from sweeps.proposals.prior import Observed, observed
from sweeps.proposals.search import StudySearch
from sweeps.results import chosen, finalists
from sweeps.room import concurrent
from sweeps.schema.dimension import Dimension
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.study import nothing_left, queued, seconds_left, to_come
from sweeps.winners.expected import models_to_test

log = logging.getLogger(__name__)

FIRST = 5  # configurations shown


@dataclass(frozen=True)
class DryRun:
    """A sweep before it runs.

    Attributes:
        name: Of the sweep.
        trials: That will run, at most: none where only further seeds or test scores are missing.
        ended: Trials of the budget that have ended before.
        again: Trainings with further seeds after them, at most.
        tested: Models of each split that are tested at the end, at most.
        retrained: Whether these are trained again before.
        splits: Of each trial.
        steps: Of each split.
        space: What is tried, by the setting's name.
        outside: Values of the base that the search could not propose, by the setting's name.
        first: The first configurations, later ones depend on what these find; of a sweep that has
            begun those that are certain to come.
        at_once: Trials that the cluster holds.
        cpu, gpu: Of a trial.
        measured: What trials cost.
        hours: Of the whole budget, further seeds and tests if every trial costs as the base, none
            pruned.
        most_hours: The same if every trial costs as the most expensive one measured.
        device_hours: Hours of CPU cores, or of GPUs where there are some, at `hours`.
        search_hours: Of the trials alone, at `hours`.
        search_device_hours: The same of their cores or GPUs.
        start_seconds: Until the processes of trials have started, side by side, once, and after
            them those of tests.
        limit_hours: What is left of budget.hours, where it is set; it counts the search alone.
        limit_device_hours: The same of budget.device_hours.
        used_up: The part of the budget that is; none: the search may go on.
    """

    name: str
    trials: int
    ended: int
    again: int
    tested: int
    retrained: bool
    splits: int
    steps: int
    space: dict[str, str]
    outside: Configuration
    first: tuple[Configuration, ...]
    at_once: int
    cpu: int
    gpu: float
    measured: tuple[Measured, ...]
    hours: float
    most_hours: float
    device_hours: float
    search_hours: float
    search_device_hours: float
    start_seconds: float
    limit_hours: float | None
    limit_device_hours: float | None
    used_up: str | None = None


@dataclass(frozen=True)
class NothingLeft:
    """A sweep that has ended.

    Attributes:
        name: Of the sweep.
        trials: That are left: none.
        ended: That have ended.
        why: It has ended, and how to go on.
        choice: Which trial is best, and how sure that is; none: the sweep chose none.
    """

    name: str
    ended: int
    why: str
    choice: str | None
    trials: int = 0


def dry_run(
    sweep: SweepConfig, *, address: str | None = None, extend: int | None = None
) -> DryRun | NothingLeft:
    """Say what a sweep would do, what the cluster can hold, and what it would cost.

    Args:
        sweep: The sweep.
        address: Of a Ray cluster; default RAY_ADDRESS, else Ray starts on this machine.
        extend: Trials that would be added to a budget that is used up.

    Raises:
        ValueError: Bad input, a cluster that is too small, a configuration that does not fit into
            the memory of a machine, the directory holds another sweep, or `extend` has nothing to
            add to.
    """
    directory = SweepDirectory(sweep.directory).fetch()
    ledger = directory.ledger
    sweep = planned(sweep, ledger, extend=extend)
    phase(log, "checking the store and the splits")
    fingerprint, before = check_data(sweep), ended(ledger.trials())
    if ledger.trials():
        directory.lock.check(sweep, fingerprint=fingerprint)
    else:
        say_if_renamed(sweep, fingerprint=fingerprint)
    if nothing_left(sweep, ledger):
        known = chosen(directory)
        return NothingLeft(
            name=sweep.name,
            ended=before,
            why=why_over(sweep, ledger),
            choice=None if known is None else known.choice,
        )
    left, seconds = to_come(sweep, ledger), seconds_left(sweep, ledger)
    spent = Spent.of(sweep, ledger)
    again = further_trainings(sweep, ledger, left=left)
    with session(address):
        at_once = min(concurrent(sweep), max(1, left, again))
        room = fits(cpus=sweep.resources.cpu, gpus=sweep.resources.gpu)
        costs = measured(sweep)
    require_fitting(sweep, costs, at_once=at_once)
    base = next(one for one in costs if one.name == "base")
    tested = models_to_test(sweep, ledger, more=bool(left or again))
    # Splits that run where no trial wants the room cannot be counted on.
    auto = sweep.resources.parallel_splits == "auto"
    side = 1 if auto else sweep.resources.side_by_side(len(sweep.splits))
    training = _Hours(at_once * side, devices=devices(sweep))
    # A test is a process of its own, whatever a trial has.
    testing = _Hours(
        max(1, min(room, tested * len(sweep.splits))),
        devices=sweep.resources.gpu or sweep.resources.cpu,
    )
    searched = left * len(sweep.splits) * base.split_seconds
    trained, tests = (left + again) * len(sweep.splits), [base] * tested
    # Trials share their processes, which start once; then so do tests, which have their own.
    first = base.cost.start_seconds if trained else 0.0
    start = first + (base.cost.start_seconds if tested else 0.0)
    hours = training.of(trained * base.split_seconds) + testing.of(_tests(tests)) + start / 3600
    most = start / 3600 + max(
        training.of(trained * one.split_seconds) + testing.of(_tests([one, *tests][:tested]))
        for one in costs
    )
    return DryRun(
        name=sweep.name,
        trials=left,
        ended=before,
        again=again,
        tested=tested,
        retrained=sweep.final is not None and sweep.final.retrain,
        splits=len(sweep.splits),
        steps=sweep.run({}, split=0).training.steps,
        space=described(sweep),
        outside=outside(sweep),
        first=first_configurations(
            sweep,
            earlier=ledger.trials(),
            left=left,
            known=() if ledger.trials() else observed(sweep, fingerprint=fingerprint),
        ),
        at_once=at_once,
        cpu=sweep.resources.cpu,
        gpu=sweep.resources.gpu,
        measured=costs,
        hours=hours,
        most_hours=most,
        device_hours=training.devices_of(trained * base.split_seconds)
        + testing.devices_of(_tests(tests)),
        search_hours=training.of(searched) + (first / 3600 if left else 0.0),
        search_device_hours=training.devices_of(searched),
        start_seconds=start,
        limit_hours=None if seconds is None else seconds / 3600,
        limit_device_hours=None
        if sweep.budget.device_hours is None
        else max(0.0, sweep.budget.device_hours - spent.device_hours),
        used_up=spent.over(sweep.budget),
    )


class _Hours(NamedTuple):
    """What seconds of work become where several pieces run at once."""

    at_once: int
    devices: float  # of each piece

    def of(self, seconds: float) -> float:
        """Hours on the clock."""
        return seconds / self.at_once / 3600

    def devices_of(self, seconds: float) -> float:
        """Hours of all devices together."""
        return seconds * self.devices / 3600


def _tests(models: Sequence[Measured]) -> float:
    return sum(one.test_seconds for one in models)


def planned(sweep: SweepConfig, ledger: Ledger, *, extend: int | None) -> SweepConfig:
    """The sweep with the trials that were, or would be, added to its budget.

    Raises:
        ValueError: `extend` has nothing to add to.
    """
    if extend is None:
        return extended(sweep, ledger)
    more = with_more(sweep, ledger, more=extend)
    # Once that is written, trials without gain are counted from here.
    return more.model_copy(update={"budget": more.budget.model_copy(update={"no_gain": None})})


def further_trainings(sweep: SweepConfig, ledger: Ledger, *, left: int) -> int:
    """Trainings with further seeds that are missing, of the best few and the base, at most.

    Args:
        sweep: The sweep.
        ledger: Tells which are the best now, and what is trained already.
        left: Trials of the search that are still to come; each may be one of the best.
    """
    if sweep.confirm is None:
        return 0
    best = [trial.configuration for trial in finalists(sweep, ledger.trials())]
    repeats = ledger.repeats()
    now = len(missing(sweep, best, repeats=repeats))
    if not left:
        return now
    base = len(missing(sweep, [sweep.baseline], repeats=repeats))
    top, each = sweep.confirm.top, sweep.confirm.seeds - 1
    # A trial may beat several of a front at once, and others take their places.
    new = top if sweep.objective.further else min(top, left)
    return min((now if best else base) + new * each, base + top * each)


def outside(sweep: SweepConfig) -> Configuration:
    """Values of the base outside the space, by name; none if it is no trial of a search."""
    if sweep.configurations or not sweep.search.baseline_first:
        return {}
    own = sweep.whole_space.parameters(sweep.baseline)
    known = sweep.dimensions
    return {name: value for name, value in own.items() if not known[name].holds(value)}


def described(sweep: SweepConfig) -> dict[str, str]:
    """The values that each setting may take, in words."""
    found = {}
    for name, dimension in sweep.dimensions.items():
        found[name] = _values_of(dimension)
        if dimension.when:
            told = ", ".join(f"{one} is {shown(value)}" for one, value in dimension.when.items())
            found[name] += f", when {told}"
    return found


def _values_of(dimension: Dimension) -> str:
    if dimension.tie is not None:
        return f"= {dimension.tie}"
    if dimension.values is not None:
        return ", ".join(shown(value) for value in dimension.values)
    assert dimension.low is not None
    told = f"{dimension.low:g} to {dimension.last:g}"
    if dimension.step is not None:
        told += f" in steps of {dimension.step:g}"
    return told + (", on a log scale" if dimension.log else "")


def first_configurations(
    sweep: SweepConfig,
    *,
    earlier: Sequence[Trial] = (),
    left: int | None = None,
    known: Sequence[Observed] = (),
) -> tuple[Configuration, ...]:
    """What comes first, one at a time.

    Of a new sweep what it would try if no result changed its mind. One that has begun draws by what
    its trials have scored, so only what does not wait for a draw is known.

    Args:
        sweep: The sweep.
        earlier: Trials that have begun.
        left: Trials that will run; none: all of the budget.
        known: What `search.from` tells a sweep that has not begun.
    """
    first = queued(sweep, earlier)
    most = sweep.budget.trials if left is None else left
    if earlier:
        most = min(most, len(first))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search = StudySearch(
        sweep,
        storage=InMemoryStorage(),
        name=sweep.name,
        earlier=(),
        first=first,
        observed=known,
    )
    found: list[Configuration] = []
    for number in range(min(FIRST, most)):
        proposed = search.suggest(str(number))
        if not isinstance(proposed, dict):
            break
        found.append({name: proposed[name] for name in sweep.settings})
    return tuple(found)
