"""From the cells of units, one after another, to the evidence that metrics read.

Cells are dropped as soon as they are counted, so memory holds a few units and no more. Threads
work on units while the next ones are being generated; their number changes no value.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from typing import Any

import numpy as np

from scdfm.metrics.de.table import Differential, Reference, differential
from scdfm.metrics.evidence import CellFacts, Evidence, Measure, Small, Training
from scdfm.metrics.profiles import metrics_of
from scdfm.metrics.pseudobulk import Array
from scdfm.metrics.registry import METRICS
from scdfm.metrics.units import Cells, UnitCells, mean_of


def gather(
    units: Iterable[UnitCells],
    *,
    genes: Sequence[str],
    metrics: Sequence[str] | None = None,
    training: Training | None = None,
    like: Evidence | None = None,
    tokens_are_genes: bool = True,
    threads: int | None = None,
) -> Evidence:
    """Reduce the cells of units to what metrics need.

        evidence = gather(units, genes=genes, metrics=["mse", "overlap_at_N", "mmd2"])
        table = evaluate(evidence, metrics=["mse", "overlap_at_N", "mmd2"])

    Args:
        units: Cells of each unit; read once, in order, and not kept. Units of a context should
            follow each other: controls are ranked once for a run of units with the same object.
        genes: Names of the genes.
        metrics: What will be asked of the evidence; none: the usual ones.
        training: Of the training conditions, for metrics that need it.
        like: Evidence of the same units, whose real side is taken and not counted again.
        tokens_are_genes: Whether conditions perturb genes; a drug that is spelt like one is none.
        threads: Units worked on at a time; none: as many as there are CPUs.

    Raises:
        ValueError: Cells of other genes, a metric that does not exist, no unit, or other units
            than those of `like`.
    """
    asked = [METRICS[name] for name in (metrics_of() if metrics is None else metrics)]
    # What a metric knows must not depend on which others are asked for: both sides or none.
    compared = any({"real_cells", "predicted_cells"} & {*metric.needs} for metric in asked)
    plan = _Plan(
        genes=len(genes),
        measures=tuple(one.of_cells for one in asked if one.of_cells is not None),
        real=compared and (like is None or like.real_cells is None),
        predicted=compared,
    )
    kept = list(_in_order(plan, units, threads=threads or cpu_count() or 1))
    if not kept:
        raise ValueError("metrics need at least 1 unit, got none")
    places = [(one.context, one.condition) for one in kept]
    if like is not None and places != list(zip(like.contexts, like.conditions, strict=True)):
        raise ValueError("`like` must be evidence of the same units in the same order")
    real_cells = _facts([one.real_cells for one in kept])
    return Evidence(
        contexts=tuple(one.context for one in kept),
        conditions=tuple(one.condition for one in kept),
        genes=tuple(genes),
        predicted=np.stack([one.predicted for one in kept]),
        real=np.stack([one.real for one in kept]),
        control=np.stack([one.control for one in kept]),
        predicted_control=_own_controls(kept),
        tokens_are_genes=tokens_are_genes,
        training=training,
        real_cells=like.real_cells if like is not None and real_cells is None else real_cells,
        predicted_cells=_facts([one.predicted_cells for one in kept]),
        predicted_noise=_noise(kept),
        measured={
            measure: np.array([one.measured[at] for one in kept])
            for at, measure in enumerate(plan.measures)
        },
    )


@dataclass(frozen=True)
class _Plan:
    """What is computed of each unit."""

    genes: int
    measures: tuple[Measure, ...]
    real: bool  # compare real cells with controls
    predicted: bool  # compare predicted cells with controls


@dataclass(frozen=True)
class _Kept:
    """What is kept of a unit."""

    context: str
    condition: str
    predicted: Array
    real: Array
    control: Array
    predicted_control: Array | None
    predicted_noise: Array | None
    real_cells: Differential | None
    predicted_cells: Differential | None
    measured: tuple[float, ...]


class _Controls:
    """Controls of the last contexts, with what was counted of them."""

    def __init__(self, *, compared: bool) -> None:
        self._compared = compared
        self._last: deque[tuple[Cells, Array, Reference | None]] = deque(maxlen=2)

    def of(self, cells: Cells) -> tuple[Array, Reference | None]:
        """Mean and reference of some controls."""
        for known, mean, reference in self._last:
            if known is cells:
                return mean, reference
        reference = Reference.of(cells) if self._compared else None
        mean = mean_of(cells) if reference is None else reference.moments.mean
        self._last.append((cells, mean, reference))
        return mean, reference


def _in_order(plan: _Plan, units: Iterable[UnitCells], *, threads: int) -> Iterator[_Kept]:
    """Work on a few units at a time, and give them back in order."""
    controls = _Controls(compared=plan.real or plan.predicted)
    running: deque[Future[_Kept]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="metrics") as pool:
        for unit in units:
            if unit.real.shape[1] != plan.genes:
                raise ValueError(
                    f"cells of {unit.condition} must have the {plan.genes} genes that were named, "
                    f"got {unit.real.shape[1]}"
                )
            real = controls.of(unit.control)
            own = unit.predicted_control
            predicted = real if own is None else controls.of(own)
            running.append(pool.submit(_count, unit, plan=plan, real=real, predicted=predicted))
            while len(running) > threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _count(
    unit: UnitCells,
    *,
    plan: _Plan,
    real: tuple[Array, Reference | None],
    predicted: tuple[Array, Reference | None],
) -> _Kept:
    cells = unit.predicted
    mean = unit.predicted_mean
    if mean is None:
        assert cells is not None, "a unit has predicted cells or their mean"
        mean = mean_of(cells)
    if not np.isfinite(mean).all():
        cells = None
    real_cells = _compare(unit.real, real[1]) if plan.real else None
    return _Kept(
        context=unit.context,
        condition=unit.condition,
        predicted=mean,
        real=mean_of(unit.real) if real_cells is None else real_cells.mean,
        control=real[0],
        predicted_control=None if unit.predicted_control is None else predicted[0],
        predicted_noise=unit.predicted_noise,
        real_cells=real_cells,
        predicted_cells=_compare(cells, predicted[1]) if plan.predicted else None,
        measured=tuple(
            float("nan") if cells is None else measure(unit) for measure in plan.measures
        ),
    )


def _compare(cells: Cells | None, controls: Reference | None) -> Differential | None:
    return None if cells is None or controls is None else differential(cells, controls)


def _own_controls(kept: Sequence[_Kept]) -> Array | None:
    """Means of the controls that came with a prediction; None: all are the real ones."""
    if all(one.predicted_control is None for one in kept):
        return None
    return np.stack(
        [one.control if one.predicted_control is None else one.predicted_control for one in kept]
    )


def _noise(kept: Sequence[_Kept]) -> Array | None:
    """Sampling variances that came with predicted means; None where none did."""
    known = [one.predicted_noise for one in kept]
    if all(one is None for one in known):
        return None
    return np.stack(
        [
            np.full_like(unit.real, np.nan) if one is None else one
            for unit, one in zip(kept, known, strict=True)
        ]
    )


def _facts(found: Sequence[Differential | None]) -> CellFacts | None:
    """Stack what is known of each unit; None where nothing is known of any."""
    known = [one for one in found if one is not None]
    if not known:
        return None
    missing = np.full(len(known[0].p_value), np.nan, dtype=np.float32)

    def rows(of: Callable[[Differential], Array | Small]) -> Any:
        return np.stack([missing if one is None else of(one) for one in found])

    return CellFacts(
        cells=np.array([0 if one is None else one.cells for one in found]),
        variance=rows(lambda one: one.variance),
        controls=np.array([0 if one is None else one.controls for one in found]),
        control_variance=rows(lambda one: one.control_variance).astype(np.float32),
        p_value=rows(lambda one: one.p_value),
        fdr=rows(lambda one: one.fdr),
        lfc=rows(lambda one: one.lfc),
        lfc_arithmetic=rows(lambda one: one.lfc_arithmetic),
    )
