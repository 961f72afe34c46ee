"""Paths that start at a control cell: the one that the network reads, or another.

From c_x itself the network can read the answer: (x_t - c_x) / t IS the velocity for every t > 0,
so the loss falls to zero and the condition is ignored. From another cell it cannot.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdfm.flow.sources.source import PathSource
from scdfm.screen.conditions import Condition

if TYPE_CHECKING:
    from scdfm.flow.sampling import Cells


def others(control: Tensor, *, sizes: tuple[int, ...]) -> Tensor:
    """Another control cell of the same unit for each row: each unit's rows move up by one.

    Args:
        control: (cells, genes), rows sorted by unit.
        sizes: Cells of each unit.
    """
    return torch.cat([part.roll(-1, dims=0) for part in torch.split(control, list(sizes))])


def _same(control: Tensor, sizes: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return control


def _other(control: Tensor, sizes: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return others(control, sizes=sizes)


def _start(cells: "Cells", condition: Condition, seed: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(cells.start)


CONTROL = PathSource(train=_same, sample=_start, one_end=True)
OTHER_CONTROL = PathSource(train=_other, sample=_start, apart=True)
