"""The sampler of an ensemble: each member makes every N-th cell of a unit.

Which member makes a cell follows from the cell's place in its unit, so it depends neither on how
many are asked for, nor on shards and actors. The mean of a unit is the mean of the members'.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cluster.work.controls import Controls
from cluster.work.sampler import Generated, Sampler, Start
from scdfm.flow.combined import Calibrated
from scdfm.screen.conditions import Condition


@dataclass(frozen=True, kw_only=True)
class EnsembleSampler(Sampler):
    """A sampler that shares cells out over others.

    Attributes:
        members: Samplers of at least these genes, whose blocks may be others.
    """

    members: tuple[Sampler, ...]

    def of(self, network: nn.Module) -> Sampler:
        """The sampler of one network: an ensemble of one is a model."""
        return self._seeded[0].of(network)

    @property
    def flow(self) -> Sampler:
        """The members' own cells, without a base; the same where none has one."""
        flows = tuple(member.flow for member in self.members)
        if all(flow is member for flow, member in zip(flows, self.members, strict=True)):
            return self
        return replace(self, members=flows)

    def calibrated(
        self, controls: Controls, *, context: str, condition: Condition
    ) -> Calibrated | None:
        """The mean over members of what they know of a unit; None where one knows nothing."""
        found = [
            (member, unit)
            for member in self._seeded
            if (unit := member.calibrated(controls, context=context, condition=condition))
        ]
        if len(found) < len(self.members):
            return None
        units = [unit.on(self._columns(member)) for member, unit in found]
        change, noise, base, shift = (np.mean([one[k] for one in units], axis=0) for k in range(4))
        return Calibrated(change=change, noise=noise / len(units), base=base, shift=shift)

    def generated(self, controls: Controls, start: Start, *, condition: Condition) -> Generated:
        """One cell from each control row, beside these."""
        count = len(self.members)
        parts: list[tuple[NDArray[np.bool_], Generated]] = []
        for number, member in enumerate(self._seeded):
            mine = start.places % count == number
            if mine.any():
                made = member.generated(controls, start.some(mine), condition=condition)
                parts.append((mine, made.on(self._columns(member))))
        return _in_place(parts, cells=len(start.rows))

    def over(self, blocks: Sequence[NDArray[np.int64]]) -> Self:
        """The same sampler for other genes."""
        members = tuple(member.over(blocks) for member in self.members)
        return replace(self, blocks=blocks, members=members)

    @property
    def _seeded(self) -> tuple[Sampler, ...]:
        """The members with this prediction's seed."""
        return tuple(
            member if member.seed == self.seed else replace(member, seed=self.seed)
            for member in self.members
        )

    def _columns(self, member: Sampler) -> NDArray[np.int64]:
        """Where a member's cells have the genes that are wanted."""
        return np.searchsorted(member.genes, self.genes)


def _in_place(parts: Sequence[tuple[NDArray[np.bool_], Generated]], *, cells: int) -> Generated:
    """Cells of several members in the order of their places."""

    def whole(each: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        together = np.empty((cells, each[0].shape[1]), dtype=np.float32)
        for (mine, _), values in zip(parts, each, strict=True):
            together[mine] = values
        return together

    flows = [made.flow for _, made in parts if made.flow is not None]
    return Generated(
        cells=whole([made.cells for _, made in parts]),
        start=whole([made.start for _, made in parts]),
        flow=whole(flows) if len(flows) == len(parts) else None,
    )
