"""Validation rounds: the score of a network, with the mean that its model will have.

Where a base is combined with the flow, a round scores both together, since that is what
predictions will be. The flow's weight is found anew on every round, and the model that a round
chooses keeps it; each unit is scored with the weight that the others find. The base of a round is
fitted to training cells alone. The base of a model is fitted to validation cells, too.

What a round was wrong by says how wide the intervals of its model must be.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

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
from cluster.work.group.shared import share_of, together, told_by_first
from cluster.work.means import measured_units, pseudobulks
from cluster.work.moved import moved_or_same
from cluster.work.sampler import Sampler
from data_store.store.reader import Store, Unit
from scdfm.flow.certainty.intervals import IntervalFactor, factor_of, needed
from scdfm.flow.combined import (
    FlowWeight,
    combined_change,
    evidence,
    weigh,
    weights_by_others,
)
from scdfm.method import METHODS, settings_of
from scdfm.metrics import Pseudobulks, round_scores
from scdfm.metrics.baselines import MeasuredUnits
from scdfm.metrics.shrunken import Base, fit, unshrunken
from scdfm.screen.atomic import jsonable

Array = NDArray[np.float64]

BASES: dict[str, Callable[[MeasuredUnits], Base]] = {"shrunken": fit, "additive": unshrunken}


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
        interval: How wide intervals must be, as the latest round or the run's folds found it;
            None: it is not known.
        place: This worker's; it scores its share of the units.
        between: Called after each unit; may raise.
        watchdog: Rests while others are waited for.
    """

    run: RunConfig
    plan: Plan
    store: Store
    how: Arithmetic
    weight: FlowWeight | None = None
    flow: FlowRound | None = None
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
        """
        if not self.plan.validation:
            return {}
        sampler = validation_sampler(network, self.run, self.plan, how=self.how)
        own = self._own_units(sampler)
        with self.watchdog.resting():
            units = together(own, place=self.place)
        first = self._scores(units, genes=sampler.genes) if self.place.rank == 0 else None
        with self.watchdog.resting():
            return told_by_first(first, place=self.place)

    def _own_units(self, sampler: Sampler) -> Pseudobulks | None:
        """This worker's share of the units, predicted; None: there are fewer units than workers."""
        mine = share_of(self.plan.validation, place=self.place)
        if not mine:
            return None
        generated = [self.run.validation.cells] * len(mine)
        controls = StoreControls(self.store, self.plan.genes.model)
        return pseudobulks(
            sampler, controls, mine, generated=generated, progress=lambda now: self.between()
        )

    def _scores(self, units: Pseudobulks, *, genes: NDArray[np.int64]) -> dict[str, float]:
        predicted = units if self._fit is None else self._combined(units, genes=genes)
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
        return round_scores(predicted)

    def _combined(self, units: Pseudobulks, *, genes: NDArray[np.int64]) -> Pseudobulks:
        base, flow = self._without_validation[:, genes], units.predicted_delta
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
        alpha = weights_by_others(told)[:, None] if self._given is None else self.weight.flow
        change = combined_change(base, flow, alpha=alpha)
        return _bounded(replace(units, predicted=units.control + change), clamp=clamp)

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


def _bounded(units: Pseudobulks, *, clamp: bool) -> Pseudobulks:
    """Means that are not below 0 where expression cannot be."""
    return replace(units, predicted=np.maximum(units.predicted, 0)) if clamp else units


def validation_sampler(field: nn.Module, run: RunConfig, plan: Plan, *, how: Arithmetic) -> Sampler:
    """The sampler of validation rounds: the evaluation genes, few solver steps.

    Expression below 0 stays where a base is to be combined with it.
    """
    card = make_card(run, plan, facts={})
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
