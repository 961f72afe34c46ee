"""The base channel of a run: what the network reads of a unit, fitted without the unit's cells.

Training conditions are divided into folds (contexts, where a context is tested); the change that
a training unit reads comes from a base that was fitted to the other folds. So it is as uncertain
as that of a condition that was never measured, which is what the network must learn to use. The
model keeps the base that was fitted to all training units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cluster.runs.plan import Plan
from cluster.settings.config import RunConfig
from cluster.work.means import measured_units
from data_store.store.reader import Store
from scdfm.method import DEFAULT
from scdfm.metrics.baselines import MeasuredUnits
from scdfm.metrics.shrunken import fit
from scdfm.model.field import VelocityField
from scdfm.screen.conditions import name
from scdfm.screen.randomness import numpy_generator

FOLDS = 8
_PREFIX = "base_channel."  # of the names that the network has for it

UnitChanges = Mapping[int, Tensor]
"""The change that each training unit reads, (model genes,), by its position in store.units."""


class Channel(NamedTuple):
    """What the channel holds.

    Attributes:
        given: The network's base, as `VelocityField.give` takes it.
        units: What training units read.
    """

    given: dict[str, Tensor]
    units: UnitChanges

    @property
    def bytes(self) -> int:
        """What its numbers take."""
        return sum(one.nbytes for one in (*self.given.values(), *self.units.values()))


def with_channel(plan: Plan, run: RunConfig, store: Store) -> tuple[Plan, UnitChanges | None]:
    """A run's plan that gives the network its base, and what training units read; none if off."""
    if run.method != DEFAULT or not run.model.base_channel:
        return plan, None
    columns, by_context = plan.genes.model, plan.split.context is not None

    def made() -> Channel:
        return make_channel(
            measured_units(store, plan.training, columns=columns),
            positions=[part.unit for part in plan.training],
            seed=run.seed,
            by_context=by_context,
        )

    # Trials of a sweep differ in settings that decide nothing of it, and it takes seconds.
    key = ("base channel", plan.training, columns.tobytes(), run.seed, by_context)
    channel = store.once(key, made, size=lambda one: one.bytes)
    return replace(plan, given={**plan.given, **channel.given}), channel.units


def keep_one_base(network: VelocityField, given: Mapping[str, Tensor]) -> bool:
    """Give a network that goes on the base that its run fits now; whether it had another.

    An older version may have fitted by another rule. What training units read is of the rule of
    today, so the base in the weights must be, too.
    """
    mine = {name: fact for name, fact in network.given.items() if name.startswith(_PREFIX)}
    values = {name: fact for name, fact in mine.items() if name != f"{_PREFIX}rule"}
    if all(_nearly_equal(fact.cpu(), given[name]) for name, fact in values.items()):
        return False  # to the bit as it was, also where another machine adds up otherwise
    network.give({name: given[name] for name in mine})
    return True


def make_channel(
    known: MeasuredUnits, *, positions: Sequence[int], seed: int, by_context: bool
) -> Channel:
    """Fit the base of all training units, and one without each fold.

    Args:
        known: Training units.
        positions: Of each in store.units.
        seed: Divides them.
        by_context: Leave out contexts instead of conditions, where there are several.
    """
    contexts = known.contexts if len({*known.contexts}) > 1 and by_context else None
    fold = _folds(contexts or [name(tokens) for tokens in known.conditions], seed=seed)
    changes = np.zeros(known.mean.shape, dtype=np.float32)
    for one in np.unique(fold):
        inside, others = np.flatnonzero(fold == one), np.flatnonzero(fold != one)
        if not len(others):  # a single condition: nothing is known without it
            continue
        base, asked = fit(_some(known, others)), _some(known, inside)
        changes[inside] = base.delta(asked.contexts, asked.conditions).delta
    return Channel(
        given={
            f"{_PREFIX}{part}": torch.from_numpy(np.ascontiguousarray(array))
            for part, array in fit(known).arrays().items()
        },
        units=dict(zip(positions, torch.from_numpy(changes), strict=True)),
    )


def _nearly_equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other.to(one), rtol=1e-4, atol=1e-6)


def _folds(groups: Sequence[str], *, seed: int) -> NDArray[np.int64]:
    """The fold of each unit; units of one group are in one."""
    each, of_unit = np.unique(np.array(groups), return_inverse=True)
    order = numpy_generator(seed, "folds of the base").permutation(len(each))
    fold: NDArray[np.int64] = order[of_unit] % min(FOLDS, len(each))
    return fold


def _some(known: MeasuredUnits, rows: NDArray[np.int64]) -> MeasuredUnits:
    places = rows.tolist()
    return replace(
        known,
        contexts=tuple(known.contexts[k] for k in places),
        conditions=tuple(known.conditions[k] for k in places),
        control=known.control[rows],
        mean=known.mean[rows],
        noise=known.noise[rows] if known.noise is not None else None,
        control_noise=known.control_noise[rows] if known.control_noise is not None else None,
    )
