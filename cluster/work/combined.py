"""The sampler of a model that combines a base with its flow.

The mean of a unit is set on its canonical cells: the first of the seeded order of ALL controls of
its context, followed from the model's own seed. So a cell of a prediction depends neither on how
many cells are asked for, nor on shards and actors. Where the cells asked for begin with the
canonical ones they are followed once.
"""

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from cluster.work.controls import Controls
from cluster.work.sampler import Generated, Sampler, Start, starting_cells
from scdfm.flow.combined import Calibrated, Expression, calibrate, finish
from scdfm.metrics.shrunken import Base
from scdfm.screen.conditions import Condition

_REMEMBERED = 256  # calibrated units, a few arrays of genes each

Key = tuple[str, Condition]  # context and condition


class _Unit(NamedTuple):
    """A unit whose mean is set: its canonical cells, and what they tell."""

    start: Start
    mean: Calibrated


@dataclass
class _Known:
    """What is remembered of some controls: units, and the canonical x_1 of the latest."""

    controls: Controls | None = None
    units: OrderedDict[Key, _Unit] = field(default_factory=OrderedDict)
    latest: tuple[Key, Expression] | None = None  # (cells, genes)
    means: dict[str, NDArray[np.float64]] = field(default_factory=dict)  # of controls, by context

    def of(self, controls: Controls) -> Self:
        """The same, empty if it was of other controls."""
        if self.controls is not controls:
            self.controls, self.latest = controls, None
            self.units.clear()
            self.means.clear()
        return self

    def control(self, context: str) -> NDArray[np.float64]:
        """Mean of all controls of a context, (model genes,)."""
        assert self.controls is not None
        if context not in self.means:
            self.means[context] = self.controls.mean(context)
        return self.means[context]

    def add(self, key: Key, unit: _Unit) -> None:
        """Remember a unit, and forget the oldest of too many."""
        self.units[key] = unit
        if len(self.units) > _REMEMBERED:
            self.units.popitem(last=False)


@dataclass(frozen=True, kw_only=True)
class CombinedSampler(Sampler):
    """A sampler whose units have the mean of base and flow together.

    Attributes:
        base: Of the model.
        alpha: Weight of the flow in the mean.
        beta: Weight of the flow in the shape.
        most: Canonical cells of a unit, at most.
        own_seed: Of the model, from which canonical cells are followed.
        unclamped: Settings of the flow, under which expression may be below 0.
    """

    base: Base
    alpha: float
    beta: float
    most: int
    own_seed: int
    unclamped: Any
    known: _Known = field(default_factory=_Known, repr=False, compare=False)

    @property
    def flow(self) -> Sampler:
        """The flow alone."""
        return Sampler(
            method=self.method,
            field=self.field,
            settings=self.settings,
            blocks=self.blocks,
            batch=self.batch,
            seed=self.seed,
            products=self.products,
        )

    def generated(self, controls: Controls, start: Start, *, condition: Condition) -> Generated:
        """Generate one cell from each control row, beside these; at most a batch."""
        unit = self._unit(controls, (start.context, condition))
        began = controls.expression(start.rows)[:, self.genes]
        ends = self._ends(controls, start, unit, condition=condition)
        clamp = self.method.clamps(self.settings)
        return Generated(
            cells=finish(ends, began, unit.mean, beta=self.beta, clamp=clamp),
            start=began,
            flow=np.maximum(ends, 0) if clamp else ends,
        )

    def calibrated(self, controls: Controls, *, context: str, condition: Condition) -> Calibrated:
        """The mean change of a unit, and what its cells are moved by."""
        return self._unit(controls, (context, condition)).mean

    def _unit(self, controls: Controls, key: Key) -> _Unit:
        known = self.known.of(controls)
        if key not in known.units:
            context, condition = key
            rows = controls.rows(context)
            start = starting_cells(
                rows,
                condition=condition,
                cells=min(self.most, len(rows)),
                seed=self.own_seed,
                context=context,
            )
            mean = calibrate(
                self._canonical(controls, start, condition=condition),
                controls.expression(start.rows)[:, self.genes],
                base=self.base.delta([context], [condition]).delta[0, self.genes],
                control=known.control(context)[self.genes],
                alpha=self.alpha,
                beta=self.beta,
                clamp=self.method.clamps(self.settings),
            )
            known.add(key, _Unit(start, mean))
        return known.units[key]

    def _canonical(self, controls: Controls, start: Start, *, condition: Condition) -> Expression:
        """x_1 of a unit's canonical cells, in whole batches, whatever is asked for."""
        key, known = (start.context, condition), self.known.of(controls)
        if known.latest is None or known.latest[0] != key:
            follow = replace(self._follow, seed=self.own_seed)
            ends = list(follow.batches(controls, start, condition=condition))
            known.latest = key, np.concatenate(ends)
        return known.latest[1]

    def _ends(
        self, controls: Controls, start: Start, unit: _Unit, *, condition: Condition
    ) -> Expression:
        """x_1 of some cells; of canonical ones as they were calibrated, to the last bit."""
        place = self._places(start, unit)
        new = place < 0
        if new.all():
            return self._follow.cells(controls, start, condition=condition)
        ends = self._canonical(controls, unit.start, condition=condition)[place]
        if new.any():
            ends[new] = self._follow.cells(controls, start.some(new), condition=condition)
        return ends

    def _places(self, start: Start, unit: _Unit) -> NDArray[np.int64]:
        """Where cells are among the canonical ones; -1 where they are not, (cells,)."""
        if self.seed != self.own_seed:
            return np.full(len(start.rows), -1)
        rows = unit.start.rows
        order = np.argsort(rows)
        place = order[np.searchsorted(rows, start.rows, sorter=order).clip(max=len(rows) - 1)]
        found = (rows[place] == start.rows) & (start.replicates == 0)
        return np.where(found, place, -1)

    @property
    def _follow(self) -> Sampler:
        return replace(self.flow, settings=self.unclamped)

    def over(self, blocks: Any) -> Self:
        """The same sampler for other genes."""
        return replace(self, blocks=blocks, known=_Known())
