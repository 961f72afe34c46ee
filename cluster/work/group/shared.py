"""Units that workers share: each takes some, and the first has them all together."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch.distributed

from cluster.work.build import Place
from scdfm.metrics import Pseudobulks

Item = TypeVar("Item")


def share_of(units: Sequence[Item], *, place: Place) -> Sequence[Item]:
    """A worker's units: every world-th, from its rank on."""
    return units[place.rank :: place.world]


def together(own: Pseudobulks | None, *, place: Place) -> Pseudobulks:
    """The units of all workers in their order, from each worker's share; none: it has no unit."""
    if place.world == 1:
        assert own is not None
        return own
    parts: list[Pseudobulks | None] = [None] * place.world
    torch.distributed.all_gather_object(parts, own)
    return in_turn([part for part in parts if part is not None])


def in_turn(parts: Sequence[Pseudobulks]) -> Pseudobulks:
    """The first unit of each part, then the second of each, and so on."""
    places = [np.arange(len(part.conditions)) for part in parts]
    order = np.argsort(np.concatenate(places), kind="stable")

    def named(name: str) -> tuple[str, ...]:
        values = [value for part in parts for value in getattr(part, name)]
        return tuple(values[k] for k in order)

    return replace(
        parts[0],
        contexts=named("contexts"),
        conditions=named("conditions"),
        predicted=np.concatenate([part.predicted for part in parts])[order],
        real=np.concatenate([part.real for part in parts])[order],
        control=np.concatenate([part.control for part in parts])[order],
    )


def told_by_first(scores: dict[str, float] | None, *, place: Place) -> dict[str, float]:
    """What the first worker has computed, on all workers."""
    told = [scores]
    if place.world > 1:
        torch.distributed.broadcast_object_list(told, src=0)
    assert told[0] is not None
    return told[0]
