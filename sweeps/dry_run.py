"""What a sweep would do and cost, before it costs anything: `scdfm tune SWEEP --dry-run`.

Nothing is written where the sweep will live. Three configurations are measured on a machine of the
cluster, by a few steps each: the smallest, the base, the largest.
"""

import hashlib
import json
import logging
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna
import ray
from optuna.storages import InMemoryStorage
from pydantic import ValidationError

from cluster.session import session
from cluster.settings.config import RunConfig
from cluster.work.cost.limited import Cost, measure
from data_store.store.reader import Store
from scdfm.screen.atomic import write_text
from scdfm.screen.progress import phase
from sweeps.directory import SweepDirectory
from sweeps.schema.dimension import Value
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.search import StudySearch
from sweeps.space import content_hash
from sweeps.study import check_data, concurrent, left_of

log = logging.getLogger(__name__)

FIRST = 5  # configurations shown
_CACHE = "costs.json"


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


def dry_run(sweep: SweepConfig, *, address: str | None = None) -> DryRun:
    """Say what a sweep would do, what the cluster can hold, and what it would cost.

    Args:
        sweep: The sweep.
        address: Of a Ray cluster; default RAY_ADDRESS, else Ray starts on this machine.

    Raises:
        ValueError: Bad input, a cluster that is too small, or a configuration that does not fit
            into the memory of a machine.
    """
    phase(log, "checking the store and the splits")
    check_data(sweep)
    ledger = SweepDirectory(sweep.directory).ledger
    left = max(0, left_of(sweep, ledger))
    with session(address):
        at_once = min(concurrent(sweep), max(1, left))
        measured = tuple(_measured(sweep))
    _require_fitting(sweep, measured, at_once=at_once)
    base = next(one for one in measured if one.name == "base")
    hours, most = (
        left * len(sweep.splits) * one / at_once / 3600
        for one in (base.split_seconds, max(one.split_seconds for one in measured))
    )
    devices = sweep.resources.gpu or sweep.resources.cpu
    return DryRun(
        name=sweep.name,
        trials=left,
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


def described(sweep: SweepConfig) -> dict[str, str]:
    """The values that each setting may take, in words."""
    found = {}
    for name, dimension in sweep.dimensions.items():
        if dimension.values is not None:
            found[name] = ", ".join(_shown(value) for value in dimension.values)
            continue
        assert dimension.low is not None
        found[name] = f"{dimension.low:g} to {dimension.last:g}"
        if dimension.step is not None:
            found[name] += f" in steps of {dimension.step:g}"
        found[name] += ", on a log scale" if dimension.log else ""
    return found


def first_configurations(sweep: SweepConfig) -> tuple[Configuration, ...]:
    """What a new sweep would try first, one at a time, if no result changed its mind."""
    first = list(sweep.listed.values())
    if not first and sweep.search.baseline_first:
        first = [sweep.baseline]
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
    samples = sweep.samples()
    if sweep.configurations:
        ranked = sorted(samples, key=lambda one: work(sweep.run(one, split=0)))
        return {"smallest": ranked[0], "base": sweep.baseline, "largest": ranked[-1]}
    base = sweep.baseline
    choices: dict[str, list[Value]] = {name: [base[name]] for name in base}
    for one in samples:
        for name, value in one.items():
            choices[name].append(value)

    def alone(name: str, value: Value) -> float:
        return work(sweep.run({**base, name: value}, split=0))

    def together(pick: Callable[..., Value]) -> Configuration:
        chosen: Configuration = {}
        for name, values in choices.items():
            valid = [value for value in values if _runs(sweep, {**base, name: value})]
            chosen[name] = pick(valid or [base[name]], key=lambda value: alone(name, value))
        if _runs(sweep, chosen):
            return chosen
        singles: list[Configuration] = [{**base, name: value} for name, value in chosen.items()]
        ranked = sorted(
            (one for one in singles if _runs(sweep, one)),
            key=lambda one: work(sweep.run(one, split=0)),
        )
        return ranked[0 if pick is min else -1] if ranked else base

    return {"smallest": together(min), "base": base, "largest": together(max)}


def work(run: RunConfig) -> float:
    """Roughly the multiplications of a step: to tell which configuration is larger, no more."""
    model, batch = run.model, run.batch
    cells, genes = batch.conditions * batch.cells, min(batch.genes, run.genes.model)
    per_gene = 12 * model.width**2 + 4 * genes * model.width
    return float(model.layers * cells * genes * per_gene + run.genes.model * model.width**2)


def _runs(sweep: SweepConfig, configuration: Configuration) -> bool:
    try:
        sweep.run(configuration, split=0)
    except ValueError:
        return False
    return True


def _measured(sweep: SweepConfig) -> Sequence[Measured]:
    """Measure on a node that can hold a trial; what is known is not measured again."""
    with Store.open(sweep.run({}, split=0).store) as store:
        units = sum(not unit.is_control for unit in store.units)
        sizes = (store.fingerprint, len(store.genes))
    resources, remote = sweep.resources, ray.remote(_on_this_node)
    kept, found = _kept(), list[Measured]()
    known: dict[str, Cost] = {}
    for name, configuration in extremes(sweep).items():
        run = sweep.run(configuration, split=0)
        key = _key(run, sizes=sizes, gpu=resources.gpu > 0, cpu=resources.cpu)
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
    _keep(kept | known)
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


def gib(size: float) -> str:
    """Bytes as GiB."""
    return f"{size / 2**30:.2g} GiB" if size < 99.5 * 2**30 else f"{size / 2**30:.0f} GiB"


def _settings(configuration: Configuration) -> str:
    return ", ".join(f"{name}={_shown(value)}" for name, value in configuration.items())


def _shown(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)


def _key(run: RunConfig, *, sizes: tuple[str, int], gpu: bool, cpu: int) -> str:
    """What decides the cost of a run: its settings, the store, the software, the machine."""
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    facts = {
        "run": content_hash(run),
        "sizes": sizes,
        "where": [gpu, cpu, platform.processor() or platform.machine(), os.cpu_count()],
        "nodes": sorted(node["NodeManagerHostname"] for node in alive),
        "torch": version("torch"),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "scdfm" / _CACHE


def _kept() -> dict[str, Cost]:
    """Costs measured before; a file that cannot be read holds none."""
    try:
        told = json.loads(_cache().read_text())
        return {key: Cost.model_validate(one) for key, one in told.items()}
    except (OSError, ValueError, ValidationError, AttributeError):
        return {}


def _keep(costs: dict[str, Cost]) -> None:
    whole = {key: one.model_dump() for key, one in costs.items() if one.stopped is None}
    try:
        _cache().parent.mkdir(parents=True, exist_ok=True)
        write_text(_cache(), json.dumps(whole) + "\n")
    except OSError as error:
        log.debug("costs are not kept: %s", error)
