"""Validation rounds: the score of a network, with the mean that its model will have.

Where a base is combined with the flow, a round scores both together, since that is what
predictions will be. The flow's weight is found anew on every round, and the model that a round
chooses keeps it; each unit is scored with the weight that the others find. The base of a round is
fitted to training cells alone. The base of a model is fitted to validation cells, too.

Means of all units come first; then each worker finishes the cells of its own with their mean, for
metrics that compare them with as many real ones.

What a round was wrong by says how wide the intervals of its model must be.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cluster.nodes.stall import Watchdog
from cluster.runs.plan import Plan, known_conditions, whole_units
from cluster.runs.precision import Arithmetic
from cluster.runs.records import FlowRound
from cluster.settings.config import RunConfig
from cluster.work.build import Place, make_card
from cluster.work.controls import StoreControls
from cluster.work.errors import control_variances, measured_noise, model_variances
from cluster.work.group.shared import (
    PausedError,
    rows_in_turn,
    share_of,
    together,
    told_by_first,
)
from cluster.work.means import measured_units, pseudobulks
from cluster.work.moved import moved_or_same
from cluster.work.sampler import Generated, Sampler
from data_store.store.reader import Store
from data_store.store.units import Unit
from scdfm.flow.certainty.intervals import IntervalFactor, factor_of, needed
from scdfm.flow.combined import (
    FlowWeight,
    calibrate,
    combined_change,
    evidence,
    finish,
    settled,
    weigh,
    weights_by_others,
)
from scdfm.flow.provenance import Provenance
from scdfm.method import METHODS, settings_of
from scdfm.metrics import METRICS, Evidence, Pseudobulks, UnitCells, round_scores
from scdfm.metrics.baselines import MeasuredUnits
from scdfm.metrics.distribution import mmd2
from scdfm.metrics.evidence import Measure
from scdfm.metrics.shrunken import Base, fit, unshrunken
from scdfm.screen.atomic import jsonable

Array = NDArray[np.float64]

BASES: dict[str, Callable[[MeasuredUnits], Base]] = {"shrunken": fit, "additive": unshrunken}


class _Means(NamedTuple):
    """Of the units of a round, where a base is combined with the flow."""

    base: Array  # its changes, (units, genes)
    alpha: Array  # weight of the flow, (units,)
    predicted: Array  # means of base and flow together, (units, genes)


class _Measured(NamedTuple):
    """A unit's cells beside real ones."""

    values: tuple[float, ...]  # of `_of_cells`, in its order
    shape: float  # mmd2 of the flow's own cells, without a base


@dataclass
class Validation:
    """Scores networks of a run on its validation part.

    Attributes:
        run: The run.
        plan: Of the run.
        store: With its cells.
        how: How this machine computes.
        weight: Of the flow, as the latest round or the run's folds found it; None without a base.
        flow: What the latest round says of the flow; None without a base.
        shape: mmd2 of the flow's own cells in the latest round; None: it is not known.
        interval: How wide intervals must be, as the latest round or the run's folds found it;
            None: it is not known.
        place: This worker's; it scores its share of the units.
        between: Called after each unit; raises `PausedError` where the round is to be broken off.
        watchdog: Rests while others are waited for.
    """

    run: RunConfig
    plan: Plan
    store: Store
    how: Arithmetic
    weight: FlowWeight | None = None
    flow: FlowRound | None = None
    shape: float | None = None
    interval: IntervalFactor | None = None
    place: Place = field(default_factory=Place)
    between: Callable[[], None] = lambda: None
    watchdog: Watchdog = field(default_factory=Watchdog)

    def __post_init__(self) -> None:
        """Where nothing validates, and folds did not, the mean is the base's."""
        if self._fit is not None:
            self.weight = self._given or self.weight or FlowWeight(flow=0)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Scores of a round by metric; no score where nothing validates.

        Workers share the units. A unit's cells depend on the run's seed and on the unit alone, so
        the scores are the same for any number of workers.

        Raises:
            PausedError: A worker was asked to stop; all workers leave the round.
        """
        if not self.plan.validation:
            return {}
        sampler = validation_sampler(network, self.run, self.plan, how=self.how)
        own, paused, cells = None, None, list[Generated]()
        try:
            own = self._own_units(sampler, keep=cells.append)
        except PausedError as error:
            paused = error
        with self.watchdog.resting():
            units = together(own, place=self.place, paused=paused)
        means = None
        if self._fit is not None:
            found = self._means(units, genes=sampler.genes) if self.place.rank == 0 else None
            with self.watchdog.resting():
                means = told_by_first(found, place=self.place)
        mine = self._measured(cells, units, means, genes=sampler.genes)
        with self.watchdog.resting():
            measured = rows_in_turn(mine, place=self.place)
        first = None
        if self.place.rank == 0:
            first = self._scores(units, means, measured, genes=sampler.genes)
        with self.watchdog.resting():
            scores, self.shape = told_by_first(first, place=self.place)
        return scores

    def _own_units(
        self, sampler: Sampler, *, keep: Callable[[Generated], None]
    ) -> Pseudobulks | None:
        """This worker's share of the units, predicted; None: there are fewer units than workers."""
        mine = share_of(self.plan.validation, place=self.place)
        if not mine:
            return None
        generated = [self.run.validation.cells] * len(mine)
        controls = StoreControls(self.store, self.plan.genes.model)
        return pseudobulks(
            sampler,
            controls,
            mine,
            generated=generated,
            progress=lambda now: self.between(),
            keep=keep,
        )

    def _measured(
        self,
        cells: Sequence[Generated],
        units: Pseudobulks,
        means: _Means | None,
        *,
        genes: NDArray[np.int64],
    ) -> list[_Measured]:
        """What metrics of cells say of this worker's units."""
        rows = share_of(range(len(units.conditions)), place=self.place)
        columns = self.plan.genes.model[genes]
        found = []
        for row, some in zip(rows, cells, strict=True):
            if not np.isfinite(some.cells).all():
                nothing = tuple(math.nan for _ in _of_cells())
                found.append(_Measured(nothing, shape=math.nan))
                continue
            own = np.maximum(some.cells, 0) if self.run.sampling.clamp else some.cells
            made = own if means is None else self._finished(some, units, means, row)
            part = self.plan.validation[row]
            stop = min(part.stop, part.start + self.run.validation.cells)  # rows are shuffled
            unit = UnitCells(
                context=units.contexts[row],
                condition=units.conditions[row],
                real=self.store.expression(part.start, stop, genes=columns),
                control=some.start,
                predicted=made,
            )
            values = {measure: measure(unit) for measure in _of_cells()}
            shape = values[mmd2] if means is None else mmd2(replace(unit, predicted=own))
            found.append(_Measured(tuple(values.values()), shape=shape))
            self.watchdog.step()
        return found

    def _finished(
        self, some: Generated, units: Pseudobulks, means: _Means, row: int
    ) -> NDArray[np.float32]:
        """The flow's cells of a unit, with the mean that base and flow have together."""
        beta, clamp = self.run.sampling.shape(self.run.source), self.run.sampling.clamp
        unit = calibrate(
            some.cells,
            some.start,
            base=means.base[row],
            control=units.control[row],
            alpha=means.alpha[row],
            beta=beta,
            clamp=clamp,
        )
        return finish(some.cells, some.start, unit, beta=beta, clamp=clamp)

    def _scores(
        self,
        units: Pseudobulks,
        means: _Means | None,
        measured: Sequence[_Measured],
        *,
        genes: NDArray[np.int64],
    ) -> tuple[dict[str, float], float | None]:
        """Of a round, and how far the flow's own cells are from the real ones."""
        predicted = units if means is None else replace(units, predicted=means.predicted)
        factors = needed(
            predicted.real - predicted.predicted,
            variance=self._variances[:, genes],
            # Without a base k has no least value, so noise counts as error: too wide is safer.
            noise=self._noise[:, genes] if self._fit is not None else np.zeros(1),
        )
        self.interval = factor_of(
            factors,
            has_unit=self._fit is not None,
            guess=not self.plan.split.validates_as_tested,
        )
        columns = np.array([unit.values for unit in measured], dtype=np.float64).T
        scores = round_scores(
            Evidence(**vars(predicted), measured=dict(zip(_of_cells(), columns, strict=True)))
        )
        shapes = np.array([unit.shape for unit in measured])
        shapes = shapes[np.isfinite(shapes)]  # a unit of one cell has none
        return scores, float(shapes.mean()) if len(shapes) else None

    def _means(self, units: Pseudobulks, *, genes: NDArray[np.int64]) -> _Means:
        """The flow's weight, and the means that it gives."""
        base = self._without_validation[:, genes]
        flow = settled(units.predicted_delta, base=base)
        told = evidence(units.real_delta, base=base, flow=flow)
        # Of units that ask another question than the test does.
        guess = not self.plan.split.validates_as_tested
        self.weight = self._given or weigh(told, guess=guess)
        clamp, known = self.run.sampling.clamp, np.isfinite(told.square)
        self.flow = FlowRound(
            weight=self.weight.flow,
            alone=jsonable(round_scores(_bounded(units, clamp=clamp))),
            both=tuple(told.both[known].tolist()),
            square=tuple(told.square[known].tolist()),
        )
        same = np.full(len(base), self.weight.flow)
        # A model whose weight is 0 has the base's mean, whatever a few of the units would say.
        alpha = weights_by_others(told) if self._given is None and self.weight.flow else same
        change = combined_change(base, flow, alpha=alpha[:, None])
        both = _bounded(replace(units, predicted=units.control + change), clamp=clamp)
        return _Means(base=base, alpha=alpha, predicted=both.predicted)

    @property
    def _given(self) -> FlowWeight | None:
        asked = self.run.sampling.mean.flow
        return None if asked == "auto" else FlowWeight(flow=asked, given=True)

    @property
    def _fit(self) -> Callable[[MeasuredUnits], Base] | None:
        return BASES.get(self.run.sampling.mean.base)

    @cached_property
    def base(self) -> Base | None:
        """The base of the run's models, fitted to training and validation cells."""
        if self._fit is None:
            return None
        cells = whole_units(self.store, known_conditions(self.plan.split, self.store))
        return self._fit(measured_units(self.store, cells, columns=self.plan.genes.model))

    @cached_property
    def _without_validation(self) -> Array:
        """What a base without their cells says of the validation units, (units, model genes)."""
        base, units = self._learnt_base, self._units
        assert base is not None
        return base.delta([u.context for u in units], [u.tokens for u in units]).delta

    @cached_property
    def _learnt_base(self) -> Base | None:
        """A base without the cells of the validation units."""
        if self._fit is None:
            return None
        columns = self.plan.genes.model
        return self._fit(measured_units(self.store, self.plan.training, columns=columns))

    @property
    def _units(self) -> list[Unit]:
        return [self.store.units[part.unit] for part in self.plan.validation]

    @cached_property
    def _variances(self) -> Array:
        """Of the error of predictions of the validation units, (units, model genes)."""
        controls = StoreControls(self.store, self.plan.genes.model)
        return model_variances(
            self._learnt_base,
            [unit.tokens for unit in self._units],
            cells=control_variances(controls, [unit.context for unit in self._units]),
        )

    @cached_property
    def _noise(self) -> Array:
        """Of the validation units as they were measured, (units, model genes)."""
        columns = self.plan.genes.model
        return measured_noise(self.store, self.plan.validation, columns=columns)


def _of_cells() -> list[Measure]:
    """What rounds compute of cells, each once."""
    known = (metric.of_cells for _, metric in METRICS.items() if metric.of_rounds)
    # Two metrics may share one, as with another direction.
    return list(dict.fromkeys(measure for measure in known if measure is not None))


def _bounded(units: Pseudobulks, *, clamp: bool) -> Pseudobulks:
    """Means that are not below 0 where expression cannot be."""
    return replace(units, predicted=np.maximum(units.predicted, 0)) if clamp else units


def validation_sampler(field: nn.Module, run: RunConfig, plan: Plan, *, how: Arithmetic) -> Sampler:
    """The sampler of validation rounds: the evaluation genes, few solver steps.

    Expression below 0 stays where a base is to be combined with it.
    """
    card = make_card(run, plan, facts=Provenance())
    method = METHODS[run.method]
    settings = method.for_validation(settings_of(run), steps=run.validation.steps)
    sampler = Sampler(
        method=method,
        field=field,
        settings=method.unclamped(settings) if run.sampling.mean.combined else settings,
        blocks=card.blocks(which="evaluation"),
        batch=run.sampling.batch,
        seed=run.seed,
        products=how.products,
    )
    return moved_or_same(sampler)
