"""Generate perturbed cells: start at the source, follow the velocity, stop at t = 1.

Source: scDFM, section A.3 and Algorithm 3.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, PositiveInt
from torch import Tensor

from scdfm.conditions import Condition, name
from scdfm.flow import Source
from scdfm.model import VelocityField
from scdfm.randomness import numpy_generator
from scdfm.solvers import Solver, solve


class SamplingConfig(BaseModel, frozen=True, extra="forbid"):
    """How cells are generated."""

    solver: Solver = "midpoint"
    steps: PositiveInt = 10
    clamp: bool = True  # expression cannot be negative
    batch: PositiveInt = 64  # cells integrated together


def rollout(
    field: VelocityField,
    *,
    start: Tensor,
    control: Tensor,
    genes: Tensor,
    conditions: Tensor,
    unit_of_cell: Tensor,
    config: SamplingConfig,
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
        config: Solver, steps and clamp.
    """
    was_training = field.training
    field.eval()
    with torch.inference_mode():
        around = field.surroundings(
            control=control, genes=genes, conditions=conditions, unit_of_cell=unit_of_cell
        )

        def velocity(x: Tensor, t: float) -> Tensor:
            return field.velocity(x, x.new_full((len(x),), t), around)

        end = solve(velocity, start, solver=config.solver, steps=config.steps)
    field.train(was_training)
    return end.clamp_min(0) if config.clamp else end


def generate(
    field: VelocityField,
    *,
    control: NDArray[np.float32],
    condition: Condition,
    cells: Sequence[int],
    replicates: Sequence[int],
    blocks: Sequence[NDArray[np.int64]],
    source: Source,
    config: SamplingConfig,
    seed: int,
) -> NDArray[np.float32]:
    """Generate one perturbed cell from each control cell.

    Args:
        field: The velocity field.
        control: Control cells over all the model's genes, (cells, model genes).
        condition: What is done to them.
        cells: An identity for each control cell; with the replicate it fixes the cell's noise.
        replicates: How often this control cell was used before, (cells,).
        blocks: Gene ids that are integrated together. Attention mixes the genes of a block, so
            blocks belong to the model and not to the caller's wishes.
        source: Where paths start.
        config: Solver, steps, clamp, batch.
        seed: Of the prediction.

    Returns:
        Expression, (cells, genes of all blocks in their order).
    """
    device = next(field.parameters()).device
    ids = torch.tensor([field.vocabulary.ids(condition)], device=device)
    # With one gene list and one condition the order of rows is the callers': batches are cut
    # in row order, and a cell's result does not depend on its neighbours in the batch.
    parts = []
    for rows in np.array_split(np.arange(len(cells)), -(-len(cells) // config.batch)):
        x = torch.from_numpy(np.ascontiguousarray(control[rows])).to(device)
        start = x
        if source == "noise":
            noise = [
                cell_noise(
                    seed,
                    condition=condition,
                    cell=cells[row],
                    replicate=replicates[row],
                    genes=len(field.vocabulary.genes),
                )
                for row in rows
            ]
            start = torch.from_numpy(np.stack(noise)).to(device)
        unit_of_cell = torch.zeros(len(rows), dtype=torch.long, device=device)
        ends = []
        for block in blocks:
            genes = torch.from_numpy(block).to(device)
            ends.append(
                rollout(
                    field,
                    start=start[:, genes],
                    control=x[:, genes],
                    genes=genes,
                    conditions=ids,
                    unit_of_cell=unit_of_cell,
                    config=config,
                )
            )
        parts.append(torch.cat(ends, dim=1).cpu().numpy())
    return np.concatenate(parts)


def cell_noise(
    seed: int, *, condition: Condition, cell: int, replicate: int, genes: int
) -> NDArray[np.float32]:
    """Standard normal noise of one cell, (genes,), whatever batch or actor the cell is in."""
    spoken = zlib.crc32(name(condition).encode())
    generator = numpy_generator(seed, "sampling noise", spoken, cell, replicate)
    return generator.standard_normal(genes, dtype=np.float32)


def canonical_blocks(genes: int, *, size: int, seed: int) -> list[NDArray[np.int64]]:
    """Cut a seeded permutation of the model's genes into runs of at most `size`.

    Each run is sorted. One run holds all genes when they fit.
    """
    order = numpy_generator(seed, "gene blocks").permutation(genes)
    return [np.sort(order[start : start + size]) for start in range(0, genes, size)]
