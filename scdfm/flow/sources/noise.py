"""Paths that start at noise, as the paper has them. Source: scDFM, section 3.1."""

import zlib
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdfm.flow.sources.source import PathSource
from scdfm.screen.conditions import Condition, name
from scdfm.screen.randomness import numpy_generator

if TYPE_CHECKING:
    from scdfm.flow.sampling import Cells


def _train(control: Tensor, sizes: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(control.shape, generator=generator).to(control.device)


def _sample(cells: "Cells", condition: Condition, seed: int) -> NDArray[np.float32]:
    """Noise of each cell over all the model's genes, (cells, genes).

    A gene's noise depends only on (seed, condition, cell, replicate, gene): not on the batch, the
    actor, or the genes that were asked for.
    """
    spoken = zlib.crc32(name(condition).encode())
    rows = [
        numpy_generator(seed, "sampling noise", spoken, cell, replicate).standard_normal(
            cells.control.shape[1], dtype=np.float32
        )
        for cell, replicate in zip(cells.identity, cells.replicate, strict=True)
    ]
    return np.stack(rows)


NOISE = PathSource(train=_train, sample=_sample, at_rest=False, cells=False, late=True)
