"""What training minimises: L_CFM + lambda * L_MMD over one step's cells, and what a run adds.

Source: scDFM, sections 3.1-3.2 and A.2.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scdfm.flow.config import LossConfig, Source
from scdfm.flow.losses import LOSSES
from scdfm.flow.mmd import unit_mmd
from scdfm.flow.paths.pairs import optimal_pairs
from scdfm.flow.paths.straight import end_point, straight_path
from scdfm.flow.paths.times import TIMES
from scdfm.flow.sources import SOURCES
from scdfm.method import Losses
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
        base: What the base channel reads of each unit, (units, genes); none without one.
        reference: Real cells for the MMD, (references, genes); none: the targets.
        reference_sizes: How many of each unit.
    """

    index: int
    target: Tensor
    control: Tensor
    genes: Tensor
    conditions: Tensor
    sizes: tuple[int, ...]
    names: tuple[str, ...]
    base: Tensor | None = None
    reference: Tensor | None = None
    reference_sizes: tuple[int, ...] = ()

    @property
    def unit_of_cell(self) -> Tensor:
        """Which unit each row belongs to, (cells,)."""
        sizes = torch.tensor(self.sizes, device=self.target.device)
        return torch.repeat_interleave(
            torch.arange(len(sizes), device=sizes.device), sizes, output_size=len(self.target)
        )


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
        config: Weights of the parts, times and pairs.
        generator: CPU generator of this step: times, then noise.
        products: Number format of the field's products under autocast; none: as the weights are.
    """
    device, target = cells.target.device, cells.target
    t = TIMES[config.times](len(target), generator).to(device)
    control, start = cells.control, SOURCES[source].train(cells.control, cells.sizes, generator)
    if config.pairs == "optimal":
        # A start keeps the control cell that the network reads beside it: they may have to differ.
        order = optimal_pairs(start, target, sizes=cells.sizes)
        control, start = control[order], start[order]
    point = straight_path(start, target, t)
    with autocast(device, products):
        velocity = field(
            point.x,
            t,
            control=control,
            genes=cells.genes,
            conditions=cells.conditions,
            unit_of_cell=cells.unit_of_cell,
            **({} if cells.base is None else {"base": cells.base}),
        )
    cfm = (velocity.float() - point.velocity).square().mean()
    end = end_point(point.x, velocity.float(), t)
    total, parts = cfm, {"cfm": cfm}
    for name, weight in config.weights.items():
        if weight == 0:
            parts[name] = torch.zeros_like(cfm)
            continue
        if name == "mmd" and cells.reference is not None:
            parts[name] = unit_mmd(
                end, cells.reference, sizes=cells.sizes, real_sizes=cells.reference_sizes
            )
        else:
            parts[name] = LOSSES[name](end, target, sizes=cells.sizes)
        total = total + weight * parts[name]
    return Losses(total=total, parts=parts)
