"""What a path source is: where a cell is at time 0. Loads no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scdfm.screen.conditions import Condition

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from scdfm.flow.sampling import Cells


@dataclass(frozen=True)
class PathSource:
    """Where paths start, in training and in prediction.

    Attributes:
        train: The start of each cell of a step, (cells, genes), from the control cells of its rows
            (rows sorted by unit), the cells of each unit, and the step's generator.
        sample: The start of each cell of a prediction over all the model's genes, from its
            control cells, the condition, and the seed. It must depend on nothing else.
        at_rest: The untrained field is zero everywhere, so that it predicts no change.
        apart: The network reads another control cell than the one where the path starts, so a
            unit of a step needs two cells.
        one_end: One control cell has one path, so a second prediction from it would be a copy.
        cells: Paths start at cells, which can be paired with targets.
        late: Late steps of the solver were better than even ones when measured.
    """

    train: Callable[["Tensor", tuple[int, ...], "torch.Generator"], "Tensor"]
    sample: Callable[["Cells", Condition, int], NDArray[np.float32]]
    at_rest: bool = True
    apart: bool = False
    one_end: bool = False
    cells: bool = True
    late: bool = False
