"""What training minimises: L_CFM + lambda * L_MMD over one step's cells.

Source: scDFM, sections 3.1-3.2 and A.2.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from scdfm.flow.config import LossConfig, Source
from scdfm.flow.mmd import mmd2
from scdfm.flow.path import end_point, straight_path
from scdfm.model.precision import autocast


@dataclass(frozen=True)
class StepCells:
    """The cells of one training step, on the model's device.

    Attributes:
        index: Number of the batch; with the run's seed it fixes every random draw of the step.
        target: Perturbed cells, (cells, genes), sorted by unit.
        control: Control cells of the same contexts, (cells, genes), paired row by row.
        genes: Gene ids of the step, (genes,).
        conditions: Token ids of the step's units, (units, slots), -1 where a slot is unused.
        sizes: Cells of each unit, in row order.
        names: Unit names, for messages.
    """

    index: int
    target: Tensor
    control: Tensor
    genes: Tensor
    conditions: Tensor
    sizes: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def unit_of_cell(self) -> Tensor:
        """Which unit each row belongs to, (cells,)."""
        sizes = torch.tensor(self.sizes, device=self.target.device)
        return torch.repeat_interleave(
            torch.arange(len(sizes), device=sizes.device), sizes, output_size=len(self.target)
        )


class Losses(NamedTuple):
    """Loss of one step and its parts, scalars. `mmd` is before its weight."""

    total: Tensor
    cfm: Tensor
    mmd: Tensor


def step_losses(
    field: nn.Module,
    cells: StepCells,
    *,
    source: Source,
    config: LossConfig,
    generator: torch.Generator,
    products: torch.dtype | None = None,
) -> Losses:
    """Loss of one step.

    Args:
        field: The velocity field, possibly wrapped for data-parallel training.
        cells: The step's cells.
        source: Where paths start.
        config: Weights of the parts.
        generator: CPU generator of this step: times, then noise.
        products: Number format of the field's products under autocast; none: as the weights are.
    """
    device, target = cells.target.device, cells.target
    t = torch.rand(len(target), generator=generator).to(device)
    if source == "noise":
        start = torch.randn(target.shape, generator=generator).to(device)
    else:
        start = cells.control if source == "control" else others(cells.control, sizes=cells.sizes)
    point = straight_path(start, target, t)
    with autocast(device, products):
        velocity = field(
            point.x,
            t,
            control=cells.control,
            genes=cells.genes,
            conditions=cells.conditions,
            unit_of_cell=cells.unit_of_cell,
        )
    cfm = (velocity.float() - point.velocity).square().mean()
    if config.mmd_weight == 0:
        return Losses(total=cfm, cfm=cfm, mmd=torch.zeros_like(cfm))
    mmd = unit_mmd(end_point(point.x, velocity.float(), t), target, sizes=cells.sizes)
    return Losses(total=cfm + config.mmd_weight * mmd, cfm=cfm, mmd=mmd)


def others(control: Tensor, *, sizes: tuple[int, ...]) -> Tensor:
    """Another control cell of the same unit for each row: each unit's rows move up by one.

    Args:
        control: (cells, genes), rows sorted by unit.
        sizes: Cells of each unit.
    """
    return torch.cat([part.roll(-1, dims=0) for part in torch.split(control, list(sizes))])


def unit_mmd(generated: Tensor, real: Tensor, *, sizes: tuple[int, ...]) -> Tensor:
    """Mean over units of MMD^2 between generated and real cells of the same unit, a scalar.

    Units of one cell have no unbiased MMD and are left out; zero if none is left.

    Args:
        generated: (cells, genes), rows sorted by unit.
        real: (cells, genes), likewise.
        sizes: Cells of each unit.
    """
    if len(set(sizes)) == 1 and sizes[0] > 1:
        shape = (len(sizes), sizes[0], real.shape[1])
        return mmd2(generated.view(shape), real.view(shape)).mean()
    pairs = zip(torch.split(generated, list(sizes)), torch.split(real, list(sizes)), strict=True)
    values = [mmd2(ours, theirs) for ours, theirs in pairs if len(ours) > 1]
    return torch.stack(values).mean() if values else generated.new_zeros(())
