"""Configurations that need more than a sweep's limits: not trained, and told to the study."""

import logging
import platform
from collections.abc import Callable
from typing import NamedTuple

from cluster.settings.config import RunConfig
from cluster.work.cost.limited import Cost, measure
from cluster.work.cost.parameters import count_parameters
from cluster.work.cost.steps import vocabulary
from data_store.store.reader import Store
from scdfm.model.vocabulary import Vocabulary
from sweeps.proposals.costs import cost_key, gib, keep_costs, kept_costs
from sweeps.schema.rules import LimitsConfig
from sweeps.schema.sweep import Configuration, SweepConfig

log = logging.getLogger(__name__)


class Excess(NamedTuple):
    """What a configuration needs and may not.

    Attributes:
        limit: Which limit it exceeds; "run" where it is no valid run.
        share: By how much, as a share of the limit; above 0.
        line: The same in words.
    """

    limit: str
    share: float
    line: str


class Counted:
    """Judges configurations by what can be known without training: that they run, and weights."""

    def __init__(self, sweep: SweepConfig) -> None:
        self._sweep = sweep
        self._names: dict[int, Vocabulary] = {}  # by the number of genes

    def excess(self, configuration: Configuration) -> Excess | None:
        """Why a configuration is left out; None: nothing speaks against it so far."""
        try:
            run = self._sweep.run(configuration, split=0)
        except ValueError as error:
            return Excess("run", 1.0, str(error).removeprefix("base: "))
        allowed = self._sweep.limits.parameters
        if allowed is None:
            return None
        if run.genes.model not in self._names:
            self._names[run.genes.model] = vocabulary(run)
        count = count_parameters(run, self._names[run.genes.model])
        return _above("parameters", count, allowed, told=lambda has: f"{has:,.0f}")

    def require_first(self) -> None:
        """Refuse a base or a queued configuration that would not be run.

        Raises:
            ValueError: Names it, and the limit.
        """
        named = [("the base", self._sweep.baseline)]
        named += [(f"enqueue {at}", one) for at, one in enumerate(self._sweep.enqueued, start=1)]
        for name, configuration in named:
            found = self.excess(configuration)
            if found is not None:
                raise ValueError(f"{name} exceeds limits: {found.line}; raise it, or change {name}")


def measured_excess(configuration: Configuration, *, sweep: SweepConfig) -> Excess | None:
    """Why a configuration is left out, by a few steps of it on this machine; None: it may run.

    What was measured here before is not measured again.
    """
    run, gpu = sweep.run(configuration, split=0), sweep.resources.gpu > 0
    return judged(_cost(run, gpu=gpu, cpu=sweep.resources.cpu), sweep.limits)


def judged(cost: Cost, limits: LimitsConfig) -> Excess | None:
    """Why what was measured may not run; None: it may.

    What ended before its first step is known by lower bounds only: it may not run if these exceed
    a limit or if memory ended it. Else it may, and that it is not known is told.
    """
    return _excess(cost, limits) or _unknown(cost, limits)


def _excess(cost: Cost, limits: LimitsConfig) -> Excess | None:
    """The first limit that is exceeded for sure."""
    if limits.memory is not None:
        found = _above("memory", cost.bytes, limits.memory * 2**30, told=gib)
        if found is not None:
            return found
    if limits.step_seconds is None:
        return None
    return _above(
        "step_seconds", cost.step_seconds, limits.step_seconds, told=lambda has: f"{has:.3g} s"
    )


def _unknown(cost: Cost, limits: LimitsConfig) -> Excess | None:
    """What follows from a measurement that did not come to its first step."""
    if not cost.at_least:
        return None
    if cost.stopped == "memory" and limits.memory is not None:
        line = (
            f"it needs more than the {gib(cost.available)} that are free here, "
            f"limits.memory is {gib(limits.memory * 2**30)}"
        )
        return Excess("memory", 1.0, line)  # by how much is not known
    names = [name for name in ("memory", "step_seconds") if getattr(limits, name) is not None]
    log.warning(
        "a step could not be measured (not enough %s), so it is not known whether limits.%s "
        "holds; the trial runs",
        cost.stopped,
        " and limits.".join(names),
    )
    return None


def _cost(run: RunConfig, *, gpu: bool, cpu: int) -> Cost:
    with Store.open(run.store) as store:
        sizes = (store.fingerprint, len(store.genes))
    key = cost_key(run, sizes=sizes, gpu=gpu, cpu=cpu, nodes=[platform.node()])
    kept = kept_costs()
    if key not in kept:
        kept[key] = measure(run, gpu=gpu, threads=cpu)
        keep_costs(kept)
    return kept[key]


def _above(
    limit: str, has: float, allowed: float, *, told: Callable[[float], str]
) -> Excess | None:
    if has <= allowed:
        return None
    return Excess(
        limit, has / allowed - 1, f"it needs {told(has)}, limits.{limit} is {told(allowed)}"
    )
