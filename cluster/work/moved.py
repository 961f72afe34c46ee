"""The sampler of a method that knows mean changes only: controls that move to them.

All controls of the context say by how much they must move, so that a cell of a prediction depends
neither on how many are asked for, nor on shards and actors.
"""

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cluster.work.controls import Controls
from cluster.work.sampler import Generated, Sampler, Start, starting_cells
from scdfm.flow.combined import Calibrated, calibrate, finish
from scdfm.method import Changes
from scdfm.screen.conditions import Condition

MOST = 2_000  # controls of a context that say by how much, if there are more
_REMEMBERED = 256  # units, a few arrays of genes each


@dataclass
class _Known:
    """What is remembered of some controls: units, and cells of the latest context."""

    controls: Controls | None = None
    units: OrderedDict[tuple[str, Condition], Calibrated] = field(default_factory=OrderedDict)
    latest: tuple[str, NDArray[np.float32]] | None = None  # (cells, model genes)

    def of(self, controls: Controls) -> Self:
        """The same, empty if it was of other controls."""
        if self.controls is not controls:
            self.controls, self.latest = controls, None
            self.units.clear()
        return self

    def cells(self, context: str) -> NDArray[np.float32]:
        """All controls of a context, or some in a fixed random order, (cells, model genes)."""
        assert self.controls is not None
        if self.latest is None or self.latest[0] != context:
            rows = self.controls.rows(context)
            some = starting_cells(rows, condition=(), cells=min(MOST, len(rows)), seed=0)
            self.latest = context, self.controls.expression(some.rows)
        return self.latest[1]

    def add(self, key: tuple[str, Condition], unit: Calibrated) -> None:
        """Remember a unit, and forget the oldest of too many."""
        self.units[key] = unit
        if len(self.units) > _REMEMBERED:
            self.units.popitem(last=False)


@dataclass(frozen=True, kw_only=True)
class MovedSampler(Sampler):
    """A sampler of control cells that all move by the same amount, gene by gene.

    Attributes:
        changes: Mean changes of conditions.
    """

    changes: Changes
    known: _Known = field(default_factory=_Known, repr=False, compare=False)

    def generated(self, controls: Controls, start: Start, *, condition: Condition) -> Generated:
        """One cell from each control row, beside these."""
        unit = self.calibrated(controls, context=start.context, condition=condition)
        began = controls.expression(start.rows)[:, self.genes]
        return Generated(finish(began, began, unit, beta=0, clamp=self._clamp), began)

    def calibrated(self, controls: Controls, *, context: str, condition: Condition) -> Calibrated:
        """The mean change of a unit, and what its cells are moved by."""
        known = self.known.of(controls)
        if (context, condition) not in known.units:
            cells = known.cells(context)[:, self.genes]
            unit = calibrate(
                cells,
                cells,
                base=self.changes.delta([context], [condition]).delta[0, self.genes],
                control=controls.mean(context)[self.genes],
                alpha=0,
                beta=0,
                clamp=self._clamp,
            )
            known.add((context, condition), unit)
        return known.units[context, condition]

    def over(self, blocks: Any) -> Self:
        """The same sampler for other genes."""
        return replace(self, blocks=blocks, known=_Known())

    @property
    def _clamp(self) -> bool:
        return self.method.clamps(self.settings)


def moved_or_same(sampler: Sampler) -> Sampler:
    """The sampler, or one of moved controls where its method knows mean changes only."""
    changes = sampler.method.changes(sampler.field)
    return sampler if changes is None else MovedSampler(**vars(sampler), changes=changes)
