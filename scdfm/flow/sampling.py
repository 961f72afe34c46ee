"""Generate perturbed cells: start at the source, follow the velocity, stop at t = 1.

Source: scDFM, section A.3 and Algorithm 3.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdfm.flow.config import SamplingConfig, Source
from scdfm.flow.solvers import solve
from scdfm.flow.sources import SOURCES
from scdfm.model.paper import VelocityField
from scdfm.model.precision import autocast
from scdfm.model.unknown import all_unknown
from scdfm.screen.conditions import Condition
from scdfm.screen.randomness import numpy_generator

Velocity = Callable[[Tensor, float], Tensor]


def rollout(
    field: VelocityField,
    *,
    start: Tensor,
    control: Tensor,
    genes: Tensor,
    conditions: Tensor,
    unit_of_cell: Tensor,
    config: SamplingConfig,
    products: torch.dtype | None = None,
    base: Tensor | None = None,
) -> Tensor:
    """Integrate a batch of cells from `start` to t = 1, (cells, genes).

    The field is put in evaluation mode for the time of the call.

    Args:
        field: The velocity field.
        start: x_0, (cells, genes).
        control: Control cells, (cells, genes).
        genes: Gene ids, (genes,).
        conditions: Token ids, (units, slots).
        unit_of_cell: Which condition each cell gets, (cells,).
        config: Solver, steps and clamp; "auto" spacing is even.
        products: Number format of the field's products under autocast; none: as the weights are.
        base: What the base channel reads of each condition, (units, genes); none without one.
    """
    was_training = field.training
    field.eval()
    with torch.inference_mode(), autocast(start.device, products):
        surroundings = partial(
            field.surroundings,
            control=control,
            genes=genes,
            unit_of_cell=unit_of_cell,
            **({} if base is None else {"base": base}),
        )
        velocity = partial(_velocity, field, surroundings(conditions=conditions))
        if config.guidance != 1:
            unknown = all_unknown(conditions, null=field.vocabulary.null)
            free = partial(_velocity, field, surroundings(conditions=unknown))
            velocity = partial(_guided, velocity, free, config.guidance)

        end = solve(
            velocity,
            start,
            solver=config.solver,
            steps=config.steps,
            spacing="late" if config.spacing == "late" else "even",
        )
    field.train(was_training)
    return end.clamp_min(0) if config.clamp else end


def _velocity(field: VelocityField, around: Any, x: Tensor, t: float) -> Tensor:
    return field.velocity(x, x.new_full((len(x),), t), around)


def _guided(own: Velocity, free: Velocity, weight: float, x: Tensor, t: float) -> Tensor:
    """Go further (weight above 1) in the direction that a condition's tokens add to unknown ones.

    Source: Ho and Salimans 2022, Classifier-free diffusion guidance, eq. 6, with weight = 1 + w.
    """
    return torch.lerp(free(x, t), own(x, t), weight)


class Cells(NamedTuple):
    """Control cells to start from.

    Attributes:
        control: c_x over all the model's genes, (cells, model genes).
        start: The control cells where paths start, likewise; c_x itself unless the source keeps
            them apart. Not read for the source "noise".
        identity: A number for each cell that no other cell has.
        replicate: How often this control cell was used before.
        context: Of the control cells.
    """

    control: NDArray[np.float32]
    start: NDArray[np.float32]
    identity: Sequence[int]
    replicate: Sequence[int]
    context: str = ""


def generate(
    field: VelocityField,
    cells: Cells,
    *,
    condition: Condition,
    blocks: Sequence[NDArray[np.int64]],
    source: Source,
    config: SamplingConfig,
    seed: int,
    products: torch.dtype | None = None,
) -> NDArray[np.float32]:
    """Generate one perturbed cell from each control cell.

    Args:
        field: The velocity field.
        cells: Where to start, at most a batch.
        condition: What is done to them.
        blocks: Gene ids that are integrated together. Attention mixes the genes of a block, so
            the model decides the blocks, not the caller.
        source: Where paths start.
        config: Solver, steps and clamp.
        seed: Of the prediction.
        products: As in `rollout`.

    Returns:
        Expression, (cells, genes of all blocks in their order).
    """
    device = next(field.parameters()).device
    control = torch.from_numpy(np.ascontiguousarray(cells.control)).to(device)
    start = torch.from_numpy(SOURCES[source].sample(cells, condition, seed)).to(device)
    conditions = torch.tensor([field.vocabulary.ids(condition)], device=device)
    unit_of_cell = torch.zeros(len(control), dtype=torch.long, device=device)
    base = _base(field, cells, condition=condition, like=control)
    ends = []
    for block in blocks:
        genes = torch.from_numpy(block).to(device)
        end = rollout(
            field,
            start=start[:, genes],
            control=control[:, genes],
            genes=genes,
            conditions=conditions,
            unit_of_cell=unit_of_cell,
            config=config.settled(source),
            products=products,
            base=base[:, genes] if base is not None else None,
        )
        ends.append(end)
    generated: NDArray[np.float32] = torch.cat(ends, dim=1).cpu().numpy()
    return generated


def _base(
    field: VelocityField, cells: Cells, *, condition: Condition, like: Tensor
) -> Tensor | None:
    """What the field's base channel reads, (1, model genes); none without one."""
    if field.base_channel is None:
        return None
    change = field.base_channel.change(cells.context, condition)
    return torch.from_numpy(change).to(like)[None]


def canonical_blocks(genes: int, *, size: int, seed: int) -> list[NDArray[np.int64]]:
    """Cut a seeded permutation of the model's genes into runs of at most `size`.

    Each run is sorted. One run holds all genes when they fit.
    """
    order = numpy_generator(seed, "gene blocks").permutation(genes)
    return [np.sort(order[start : start + size]) for start in range(0, genes, size)]
