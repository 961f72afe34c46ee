"""What a sweep is refused for: choices that cannot run, and rounds that do not compare."""

import math
from collections.abc import Iterator, Mapping
from itertools import combinations, product
from typing import TYPE_CHECKING

from scdfm.screen.address import url_of
from sweeps.schema.dimension import Value
from sweeps.schema.settings import require_setting
from sweeps.schema.space import Configuration, Space, counts

if TYPE_CHECKING:
    from sweeps.schema.sweep import SweepConfig

_MOST_OF_A_GRID = 10_000  # points; the sampler keeps all of them in memory


def check_base(sweep: "SweepConfig") -> None:
    """Refuse settings that are none, a second metric, and a base that is not a run of one model."""
    for name in sweep.settings:
        require_setting(name, within="space" if sweep.space else "configurations")
    judged_by = (sweep.base.get("validation") or {}).get("metric", sweep.objective.metric)
    if judged_by != sweep.objective.metric:
        raise ValueError(
            f"base.validation.metric is {judged_by!r} and objective.metric "
            f"{sweep.objective.metric!r}; a trial keeps the model that it is judged by: "
            "make them equal or leave out the first"
        )
    if sweep.resources.workers > 1 and url_of(sweep.output) is not None:
        raise ValueError(
            f"resources.workers needs a folder that all nodes see, got output {sweep.output}; set "
            "workers to 0 or output to such a folder"
        )
    folds = sweep.run({}, split=0).validation.folds
    if sweep.final is not None and sweep.final.retrain and folds is not None:
        raise ValueError(
            "final.retrain trains on validation conditions, and with base.validation.folds every "
            "trial does so; leave retrain out"
        )
    if sweep.final is not None and sweep.final.retrain and sweep.resources.workers > 1:
        raise ValueError(
            "final.retrain trains in one process, got resources.workers "
            f"{sweep.resources.workers}; leave retrain out, and train best.yaml with "
            "`scdfm train --workers`"
        )
    if sweep.limits.measured and sweep.resources.workers > 1 and sweep.resources.gpu > 0:
        raise ValueError(
            "limits.memory and limits.step_seconds are measured in a trial's own process, whose "
            f"GPUs are its workers', got resources.workers {sweep.resources.workers}; leave these "
            "limits out, or set workers to 0"
        )
    if "ensemble" in sweep.settings or sweep.run({}, split=0).ensemble is not None:
        raise ValueError(
            "a sweep compares single models, and ensemble makes each trial several; remove it, and "
            "train the best settings with `scdfm train --ensemble`"
        )


def check_configurations(sweep: "SweepConfig") -> None:
    """Refuse a listed one that cannot run or is there twice, and rules that cut a list."""
    if sweep.budget.no_gain is not None:
        raise ValueError("budget.no_gain does not belong to configurations, all of which are run")
    if sweep.limits.measured or sweep.limits.parameters is not None:
        raise ValueError("limits do not belong to configurations, all of which are run")
    seen: dict[str, str] = {}
    for name, configuration in sweep.configurations.items():
        try:
            content = sweep.run(configuration, split=0).model_dump_json()
        except ValueError as error:
            raise ValueError(f"configurations.{name} cannot run: {_fault(error)}") from error
        if content in seen:
            raise ValueError(
                f"configurations must differ, got {seen[content]!r} and {name!r} alike; remove one"
            )
        seen[content] = name


def check_space(sweep: "SweepConfig") -> None:
    """Refuse a space whose settings need each other, or of which some values cannot run."""
    sweep.whole_space.check()
    for corner, configuration in corners(sweep):
        try:
            sweep.run(configuration, split=0)
        except ValueError as error:
            fault = _fault(error)
            tied = (name for name, one in sweep.space.items() if one.tie is not None)
            guilty = next((name for name in tied if fault.startswith(f"{name}:")), None)
            said = _told(corner) if guilty is None else f"{guilty} = {sweep.space[guilty].tie}"
            raise ValueError(f"space allows {said}, which cannot run: {fault}") from error
    _check_sampler(sweep)
    _check_enqueued(sweep)


def corners(sweep: "SweepConfig") -> Iterator[tuple[Configuration, Configuration]]:
    """Some values and the configuration that they make, each value beside usual others.

    Each value alone, then each pair, because contradictions are between two settings.
    """
    space = sweep.whole_space
    tried = {name: space.tried[name].samples() for name in sweep.space if name in space.tried}
    usual = _usual(sweep, space)
    alone: list[Configuration] = [{name: v} for name, values in tried.items() for v in values]
    pairs: list[Configuration] = [
        {one: a, other: b}
        for one, other in combinations(tried, 2)
        for a, b in product(tried[one], tried[other])
    ]
    for corner in (*alone, *pairs):
        # A setting that is tried under a condition only is looked at under it.
        under = dict(condition for one in corner for condition in _conditions(space, one))
        chosen = usual | under | corner
        yield corner, space.complete(chosen.__getitem__)


def _conditions(space: Space, name: str) -> Iterator[tuple[str, Value]]:
    """What must hold for a setting to be tried, and for those settings in turn."""
    for other, value in (space.dimensions[name].when or {}).items():
        yield other, value
        yield from _conditions(space, other)


def _usual(sweep: "SweepConfig", space: Space) -> Configuration:
    """The base's values where they lie in the space, else some that do."""
    own = sweep.baseline
    return {
        name: own[name] if one.holds(own[name]) else one.samples()[0]
        for name, one in space.tried.items()
    }


def _check_sampler(sweep: "SweepConfig") -> None:
    """Refuse a space that the sampler would not search as asked."""
    sampler, space = sweep.search.sampler, sweep.whole_space
    _check_metrics(sweep)
    if sampler in ("qmc", "cmaes"):
        conditional = next((name for name, one in sweep.space.items() if one.when), None)
        if conditional:
            raise ValueError(
                f"search.sampler {sampler} takes no setting with `when`, got {conditional}; use "
                "tpe, random or grid"
            )
    if sampler == "cmaes":
        choice = next((name for name, one in space.tried.items() if one.type == "choice"), None)
        if choice:
            raise ValueError(
                f"search.sampler cmaes takes numbers only, got the choice {choice}; use tpe, or "
                "give it type int or float"
            )
        if len(space.tried) < 2:
            raise ValueError("search.sampler cmaes needs two settings at least, got 1; use tpe")
    if sampler == "grid":
        endless = next((name for name, one in space.tried.items() if math.isinf(one.count)), None)
        if endless:
            raise ValueError(
                f"search.sampler grid needs values that can be counted, got the range {endless}; "
                "give it a step, or use tpe, random or qmc"
            )
        points = math.prod(one.count for one in space.tried.values())
        if points > _MOST_OF_A_GRID:
            raise ValueError(
                f"search.sampler grid takes at most {_MOST_OF_A_GRID:,} points, got "
                f"{points:,.0f}; use larger steps, or qmc"
            )


def _check_metrics(sweep: "SweepConfig") -> None:
    """Refuse a sampler that does not search for so many metrics."""
    sampler, several = sweep.search.sampler, bool(sweep.objective.further)
    if sampler == "cmaes" and several:
        raise ValueError("search.sampler cmaes takes one metric, got several; use tpe or nsga2")
    if sampler == "nsga2" and not several:
        raise ValueError("search.sampler nsga2 is for several metrics, got one; use tpe")


def _check_enqueued(sweep: "SweepConfig") -> None:
    """Refuse known configurations that set what is not tried, or cannot run."""
    space = sweep.whole_space
    for number, given in enumerate(sweep.enqueue, start=1):
        for name in given:
            require_setting(name, within=f"enqueue {number}")
            if name not in space.dimensions:
                raise ValueError(
                    f"enqueue {number} sets {name}, which is not in the space; add it there, or "
                    "remove it"
                )
    for number, given in enumerate(sweep.enqueue, start=1):
        try:
            whole = sweep.filled_in(given)
            sweep.run(whole, split=0)
        except ValueError as error:
            raise ValueError(f"enqueue {number} cannot run: {_fault(error)}") from error
        for name in given:
            when = space.dimensions[name].when or {}
            if not counts(space.dimensions[name], whole):
                raise ValueError(
                    f"enqueue {number} sets {name}, which is tried only when {_told(when)}; set "
                    "that, too, or remove it"
                )


def check_rounds(sweep: "SweepConfig") -> None:
    """Refuse early stopping where rounds of two trials do not compare."""
    scheduler = sweep.prune.scheduler
    for name in ("training.steps", "training.validate_every"):
        if name in sweep.settings:
            raise ValueError(
                f"{scheduler} compares trials round by round, and trying {name} changes what a "
                f"round is; set prune.scheduler to none or leave {name} out"
            )
    if sweep.run({}, split=0).validation.folds is not None:
        raise ValueError(
            f"{scheduler} compares trials round by round, and with base.validation.folds a trial "
            "has no round before all its folds are trained; set prune.scheduler to none or leave "
            "the folds out"
        )
    rounds = sweep.rounds * len(sweep.splits)
    if sweep.prune.grace > rounds:
        raise ValueError(
            f"prune.grace must be at most the {rounds} validation rounds of a trial, got "
            f"{sweep.prune.grace}; lower it, validate more often, or write "
            "prune: {scheduler: none}"
        )


def _told(values: Mapping[str, Value]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _fault(error: ValueError) -> str:
    return str(error).removeprefix("base: ")
