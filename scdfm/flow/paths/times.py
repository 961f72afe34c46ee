"""The times of a training step's cells, by name in `loss.times`."""

from collections.abc import Callable

import torch
from torch import Tensor

from scdfm.flow.config import Times


def _uniform(cells: int, generator: torch.Generator) -> Tensor:
    return torch.rand(cells, generator=generator)


def _logit_normal(cells: int, generator: torch.Generator) -> Tensor:
    """More of the middle of paths, where the velocity is hardest to tell.

    Source: Esser et al. 2024 (Scaling Rectified Flow Transformers), section 3.1, m = 0, s = 1.
    """
    return torch.randn(cells, generator=generator).sigmoid()


TIMES: dict[Times, Callable[[int, torch.Generator], Tensor]] = {
    "uniform": _uniform,
    "logit_normal": _logit_normal,
}
"""Each draws one time in [0, 1] for each cell, (cells,), from a CPU generator."""
