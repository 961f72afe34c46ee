"""What a sweep would do and cost, before it costs anything: `scdfm tune SWEEP --dry-run`.

Nothing is written where the sweep will live. Three configurations are measured on a machine of the
cluster, by a few steps each: the smallest, the base, the largest.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import optuna
import ray
from optuna.storages import InMemoryStorage

from cluster.session import session
from cluster.settings.config import RunConfig
from cluster.work.cost.limited import Cost, measure
from data_store.store.reader import Store
from scdfm.screen.progress import phase
from sweeps.budget import extended, with_more
from sweeps.directory import SweepDirectory
from sweeps.ledger import Ledger
from sweeps.proposals.confirm import missing
from sweeps.proposals.costs import cost_key, gib, keep_costs, kept_costs
from sweeps.proposals.search import StudySearch
from sweeps.results import ranked
from sweeps.schema.checks import corners
from sweeps.schema.dimension import Dimension, Value
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.study import check_data, concurrent, left_of

log = logging.getLogger(__name__)

FIRST = 5  # configurations shown


@dataclass(frozen=True)
class Measured:
    """A configuration, and what it costs.

    Attributes:
        name: Which one it is: smallest, base or largest.
        configuration: Its values by dotted name.
        cost: As measured.
        split_seconds: Of training on one split.
    """

    name: str
    configuration: Configuration
    cost: Cost
    split_seconds: float


@dataclass(frozen=True)
class DryRun:
    """A sweep before it runs.

    Attributes:
        name: Of the sweep.
        trials: That the budget still allows.
        again: Trainings with further seeds after them, at most.
        splits: Of each trial.
        steps: Of each split.
        space: What is tried, by the setting's name.
        first: The first configurations; later ones depend on what these find.
        at_once: Trials that the cluster holds.
        cpu, gpu: Of a trial.
        measured: What trials cost.
        hours: Of the whole budget if every trial costs as the base, none pruned.
        most_hours: The same if every trial costs as the most expensive one measured.
        device_hours: Hours of CPU cores, or of GPUs where there are some, at `hours`.
        limit_hours: budget.hours, where it is set.
    """

    name: str
    trials: int
    again: int
    splits: int
    steps: int
    space: dict[str, str]
    first: tuple[Configuration, ...]
    at_once: int
    cpu: int
    gpu: float
    measured: tuple[Measured, ...]
    hours: float
    most_hours: float
    device_hours: float
    limit_hours: float | None


def dry_run(sweep: SweepConfig, *, address: str | None = None, extend: int | None = None) -> DryRun:
    """Say what a sweep would do, what the cluster can hold, and what it would cost.

    Args:
        sweep: The sweep.
        address: Of a Ray cluster; default RAY_ADDRESS, else Ray starts on this machine.
        extend: Trials that would be added to a budget that is used up.

    Raises:
        ValueError: Bad input, a cluster that is too small, a configuration that does not fit into
            the memory of a machine, or `extend` has nothing to add to.
    """
    phase(log, "checking the store and the splits")
    check_data(sweep)
    ledger = SweepDirectory(sweep.directory).ledger
    sweep = planned(sweep, ledger, extend=extend)
    left = max(0, left_of(sweep, ledger))
    with session(address):
        at_once = min(concurrent(sweep), max(1, left))
        measured = tuple(_measured(sweep))
    _require_fitting(sweep, measured, at_once=at_once)
    base = next(one for one in measured if one.name == "base")
    again = further_trainings(sweep, ledger, left=left)
    hours, most = (
        (left + again) * len(sweep.splits) * one / at_once / 3600
        for one in (base.split_seconds, max(one.split_seconds for one in measured))
    )
    devices = sweep.resources.gpu or sweep.resources.cpu
    return DryRun(
        name=sweep.name,
        trials=left,
        again=again,
        splits=len(sweep.splits),
        steps=sweep.run({}, split=0).training.steps,
        space=described(sweep),
        first=first_configurations(sweep),
        at_once=at_once,
        cpu=sweep.resources.cpu,
        gpu=sweep.resources.gpu,
        measured=measured,
        hours=hours,
        most_hours=most,
        device_hours=hours * at_once * devices,
        limit_hours=sweep.budget.hours,
    )


def planned(sweep: SweepConfig, ledger: Ledger, *, extend: int | None) -> SweepConfig:
    """The sweep with the trials that were, or would be, added to its budget.

    Raises:
        ValueError: `extend` has nothing to add to.
    """
    if extend is not None:
        return with_more(sweep, ledger, more=extend)
    return extended(sweep, ledger)


def further_trainings(sweep: SweepConfig, ledger: Ledger, *, left: int) -> int:
    """Trainings with further seeds that are missing, of the best few and the base, at most.

    Args:
        sweep: The sweep.
        ledger: Tells which are the best now, and what is trained already.
        left: Trials of the search that are still to come; each may be one of the best.
    """
    if sweep.confirm is None:
        return 0
    best = [trial.configuration for trial in ranked(sweep, ledger.trials())]
    repeats = ledger.repeats()
    now = len(missing(sweep, best, repeats=repeats))
    if not left:
        return now
    base = len(missing(sweep, [sweep.baseline], repeats=repeats))
    top, each = sweep.confirm.top, sweep.confirm.seeds - 1
    return min((now if best else base) + min(top, left) * each, base + top * each)


def described(sweep: SweepConfig) -> dict[str, str]:
    """The values that each setting may take, in words."""
    found = {}
    for name, dimension in sweep.dimensions.items():
        found[name] = _values_of(dimension)
        if dimension.when:
            told = ", ".join(f"{one} is {_shown(value)}" for one, value in dimension.when.items())
            found[name] += f", when {told}"
    return found


def _values_of(dimension: Dimension) -> str:
    if dimension.tie is not None:
        return f"= {dimension.tie}"
    if dimension.values is not None:
        return ", ".join(_shown(value) for value in dimension.values)
    assert dimension.low is not None
    told = f"{dimension.low:g} to {dimension.last:g}"
    if dimension.step is not None:
        told += f" in steps of {dimension.step:g}"
    return told + (", on a log scale" if dimension.log else "")


def first_configurations(sweep: SweepConfig) -> tuple[Configuration, ...]:
    """What a new sweep would try first, one at a time, if no result changed its mind."""
    first = list(sweep.listed.values())
    if not first and sweep.search.baseline_first:
        first = [sweep.baseline]
    first += sweep.enqueued
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search = StudySearch(sweep, storage=InMemoryStorage(), name=sweep.name, earlier=(), first=first)
    found: list[Configuration] = []
    for number in range(min(FIRST, sweep.budget.trials)):
        proposed = search.suggest(str(number))
        if not isinstance(proposed, dict):
            break
        found.append({name: proposed[name] for name in sweep.settings})
    return tuple(found)


def extremes(sweep: SweepConfig) -> dict[str, Configuration]:
    """The smallest, the base and the largest configuration, by the work of a step.

    Each setting alone is put to the value with the least or most work, then all together; where
    these contradict each other, the setting with the greatest effect counts.
    """
    base, space = sweep.baseline, sweep.whole_space
    if sweep.configurations:
        ranked = sorted(sweep.samples(), key=lambda one: work(sweep.run(one, split=0)))
        return {"smallest": ranked[0], "base": base, "largest": ranked[-1]}
    singles = [(corner, whole) for corner, whole in corners(sweep) if len(corner) == 1]
    weighed = [(work(sweep.run(whole, split=0)), corner, whole) for corner, whole in singles]
    usual = work(sweep.run(base, split=0))
    values: dict[str, list[tuple[float, Value]]] = {n: [(usual, base[n])] for n in space.tried}
    for weight, corner, _ in weighed:
        for name, value in corner.items():
            values[name].append((weight, value))

    def together(pick: Callable[..., Any]) -> Configuration:
        chosen = {name: pick(own, key=itemgetter(0))[1] for name, own in values.items()}
        try:
            whole = space.complete((base | chosen).__getitem__)
            sweep.run(whole, split=0)
        except ValueError:
            found: Configuration = pick(weighed, key=itemgetter(0))[2]
            return found
        return whole

    return {"smallest": together(min), "base": base, "largest": together(max)}


def work(run: RunConfig) -> float:
    """Roughly the multiplications of a step: to tell which configuration is larger, no more."""
    model, batch = run.model, run.batch
    cells, genes = batch.conditions * batch.cells, min(batch.genes, run.genes.model)
    per_gene = 12 * model.width**2 + 4 * genes * model.width
    return float(model.layers * cells * genes * per_gene + run.genes.model * model.width**2)


def _measured(sweep: SweepConfig) -> Sequence[Measured]:
    """Measure on a node that can hold a trial; what is known is not measured again."""
    with Store.open(sweep.run({}, split=0).store) as store:
        units = sum(not unit.is_control for unit in store.units)
        sizes = (store.fingerprint, len(store.genes))
    resources, remote = sweep.resources, ray.remote(_on_this_node)
    kept, found = kept_costs(), list[Measured]()
    known: dict[str, Cost] = {}
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    nodes = [node["NodeManagerHostname"] for node in alive]
    for name, configuration in extremes(sweep).items():
        run = sweep.run(configuration, split=0)
        key = cost_key(run, sizes=sizes, gpu=resources.gpu > 0, cpu=resources.cpu, nodes=nodes)
        if key in kept:
            known[key] = kept[key]
        if key not in known:
            phase(log, f"measuring the {name} configuration")
            task = remote.options(num_cpus=resources.cpu, num_gpus=resources.gpu, max_retries=0)
            asked = run.model_dump(mode="json")
            told = ray.get(task.remote(asked, resources.gpu > 0, resources.cpu, str(Path.cwd())))
            known[key] = Cost.model_validate(told)
        seconds = known[key].run_seconds(run, units=units) * (1 + (run.validation.folds or 0))
        found.append(Measured(name, configuration, known[key], seconds))
    keep_costs(kept | known)
    return found


def _on_this_node(run: dict[str, Any], gpu: bool, threads: int, home: str) -> dict[str, Any]:
    if Path(home).is_dir():
        os.chdir(home)  # paths resolve from there
    return measure(RunConfig.model_validate(run), gpu=gpu, threads=threads).model_dump()


def _require_fitting(sweep: SweepConfig, measured: Sequence[Measured], *, at_once: int) -> None:
    for one in measured:
        if not one.cost.fits:
            where = "GPU" if sweep.resources.gpu else "machine"
            told = _settings(one.configuration)
            raise ValueError(
                f"the {one.name} configuration ({told}) needs more than the "
                f"{gib(one.cost.available)} that the {where} has free"
                f"{_needed(one.cost)}; leave its values out of the space, or lower batch.cells"
            )
    largest = max(one.cost.bytes for one in measured)
    if not sweep.resources.gpu and largest * at_once > (free := measured[0].cost.available):
        log.warning(
            "%d trials at once may need %s and the machine has %s free; set budget.concurrent",
            at_once,
            gib(largest * at_once),
            gib(free),
        )


def _needed(cost: Cost) -> str:
    return "" if cost.at_least else f" (about {gib(cost.bytes)})"


def _settings(configuration: Configuration) -> str:
    return ", ".join(f"{name}={_shown(value)}" for name, value in configuration.items())


def _shown(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)
