"""What three configurations of a sweep cost, by a few steps each: smallest, base and largest."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import ray

from cluster.runs.plan import planned_split, run_folds, units_of
from cluster.settings.config import RunConfig
from cluster.work.cost.limited import Cost, available, measure
from data_store.store.reader import Store
from scdfm.screen.progress import phase
from scdfm.screen.untyped import JsonObject
from sweeps.proposals.costs import cost_file, cost_key, gib, keep_costs, kept_costs
from sweeps.schema.checks import corners
from sweeps.schema.dimension import Value
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.winners.expected import seconds_to_test

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """A configuration, and what it costs.

    Attributes:
        name: Which one it is: smallest, base or largest.
        configuration: Its values by dotted name.
        cost: As measured.
        split_seconds: Of training on one split.
        test_seconds: Of testing its models of all splits; 0 of a sweep that tests none.
    """

    name: str
    configuration: Configuration
    cost: Cost
    split_seconds: float
    test_seconds: float = 0.0


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
    cells = batch.conditions * batch.cells * run.training.accumulate
    genes = min(batch.genes, run.genes.model)
    per_gene = 12 * model.width**2 + 4 * genes * model.width
    return float(model.layers * cells * genes * per_gene + run.genes.model * model.width**2)


def measured(sweep: SweepConfig) -> tuple[Measured, ...]:
    """Measure on a node that can hold a trial; what is known is not measured again."""
    with Store.open(sweep.run({}, split=0).store) as store:
        return tuple(
            Measured(
                name,
                configuration,
                cost,
                split_seconds=_split_seconds(sweep.run(configuration, split=0), store, cost=cost),
                test_seconds=seconds_to_test(sweep, store, configuration=configuration, cost=cost),
            )
            for name, (configuration, cost) in _costs(sweep, store).items()
        )


def _split_seconds(run: RunConfig, store: Store, *, cost: Cost) -> float:
    trained = [planned_split(run, store), *run_folds(run, store)]
    validated = [len(units_of(split, store, "validation")) for split in trained]
    return sum(cost.run_seconds(run, units=units) for units in validated)


def _costs(sweep: SweepConfig, store: Store) -> dict[str, tuple[Configuration, Cost]]:
    """Some configurations and what they cost, by name."""
    sizes = (store.fingerprint, len(store.genes))
    resources = sweep.resources
    room = {"num_cpus": resources.cpu, "num_gpus": resources.gpu, "max_retries": 0}
    measuring = ray.remote(_on_this_node).options(**room)
    looking = ray.remote(_free_here).options(**room)
    kept, found = kept_costs(), dict[str, tuple[Configuration, Cost]]()
    known: dict[str, Cost] = {}
    free: int | None = None
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    nodes = [node["NodeManagerHostname"] for node in alive]
    for name, configuration in extremes(sweep).items():
        run = sweep.run(configuration, split=0)
        key = cost_key(run, sizes=sizes, gpu=resources.gpu > 0, cpu=resources.cpu, nodes=nodes)
        if key in kept and key not in known:
            # What fitted on that day need not fit now.
            free = ray.get(looking.remote(resources.gpu > 0)) if free is None else free
            known[key] = kept[key].model_copy(update={"available": free})
        if key not in known:
            phase(log, f"measuring the {name} configuration")
            asked, home = run.model_dump(mode="json"), str(Path.cwd())
            told = ray.get(measuring.remote(asked, resources.gpu > 0, resources.cpu, home))
            known[key] = Cost.model_validate(told)
        found[name] = configuration, known[key]
    if free is not None:
        log.info("some was measured before, in %s: remove that to measure again", cost_file())
    keep_costs(kept | known)
    return found


def _on_this_node(run: JsonObject, gpu: bool, threads: int, home: str) -> JsonObject:
    if Path(home).is_dir():
        os.chdir(home)  # paths resolve from there
    return measure(RunConfig.model_validate(run), gpu=gpu, threads=threads).model_dump()


def _free_here(gpu: bool) -> int:
    return available(gpu=gpu)


def require_fitting(sweep: SweepConfig, costs: Sequence[Measured], *, at_once: int) -> None:
    """Refuse a configuration that needs more memory than there is; warn of many at once.

    Raises:
        ValueError: One does not fit.
    """
    for one in costs:
        if not one.cost.fits:
            where = "GPU" if sweep.resources.gpu else "machine"
            told = _settings(one.configuration)
            raise ValueError(
                f"the {one.name} configuration ({told}) needs more than the "
                f"{gib(one.cost.available)} that the {where} has free"
                f"{_needed(one.cost)}; leave its values out of the space, or lower batch.cells"
            )
    largest = max(one.cost.bytes for one in costs)
    if not sweep.resources.gpu and largest * at_once > (free := costs[0].cost.available):
        log.warning(
            "%d trials at once may need %s and the machine has %s free; set budget.concurrent",
            at_once,
            gib(largest * at_once),
            gib(free),
        )


def _needed(cost: Cost) -> str:
    return "" if cost.at_least else f" (about {gib(cost.bytes)})"


def _settings(configuration: Configuration) -> str:
    return ", ".join(f"{name}={shown(value)}" for name, value in configuration.items())


def shown(value: Value) -> str:
    """A setting's value in words."""
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)
