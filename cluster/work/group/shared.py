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


class PausedError(Exception):
    """Units are not finished: a worker was asked to stop."""


def together(
    own: Pseudobulks | None, *, place: Place, paused: PausedError | None = None
) -> Pseudobulks:
    """The units of all workers in their order.

    Args:
        own: This worker's share; none: it has no unit, or has not finished.
        place: This worker's.
        paused: Why it has not finished. The others are told, or they would wait for it.

    Raises:
        PausedError: A worker has not finished its share; all workers get it.
    """
    parts: list[tuple[Pseudobulks | None, bool]] = [(own, paused is not None)] * place.world
    if place.world > 1:
        torch.distributed.all_gather_object(parts, (own, paused is not None))
    if any(broken for _, broken in parts):
        raise paused or PausedError("another worker was asked to stop")
    return in_turn([part for part, _ in parts if part is not None])


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


def rows_in_turn(own: Sequence[Item], *, place: Place) -> list[Item]:
    """What workers found of their shares of some units, in the units' order, on all workers."""
    parts: list[Sequence[Item]] = [own] * place.world
    if place.world > 1:
        torch.distributed.all_gather_object(parts, own)
    places = [(row, rank) for rank, part in enumerate(parts) for row in range(len(part))]
    return [parts[rank][row] for row, rank in sorted(places)]


def told_by_first(found: Item | None, *, place: Place) -> Item:
    """What the first worker has computed, on all workers."""
    told = [found]
    if place.world > 1:
        torch.distributed.broadcast_object_list(told, src=0)
    assert told[0] is not None
    return told[0]
