"""Which start goes to which target inside a unit: as drawn, or by optimal transport.

Source: Tong et al. 2024 (Improving and generalizing flow-based generative models with minibatch
optimal transport), section 3.2.3, here within each unit.
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def optimal_pairs(start: Tensor, target: Tensor, *, sizes: tuple[int, ...]) -> Tensor:
    """The start row of each target row, (cells,): the least sum of squared distances in each unit.

    Args:
        start: (cells, genes), rows sorted by unit.
        target: (cells, genes), likewise.
        sizes: Cells of each unit.
    """
    rows, first = [], 0
    units = zip(torch.split(start, list(sizes)), torch.split(target, list(sizes)), strict=True)
    for ours, theirs in units:
        # Squares of cells alone are the same for every pairing: products decide.
        cost = -(theirs.double() @ ours.double().mT).cpu().numpy()
        rows.append(first + torch.from_numpy(linear_sum_assignment(cost)[1]))
        first += len(ours)
    return torch.cat(rows).to(start.device)
