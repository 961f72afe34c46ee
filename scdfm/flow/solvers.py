"""Fixed-step solvers for dx/dt = v(x, t), as Butcher tableaus.

Each entry: the nodes c, the rows of a, the weights b (Hairer, Norsett, Wanner 1993, section II.1).
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from scdfm.flow.config import Solver, Spacing

LATENESS = 1.5  # of 1, 1.5, 2 and 3, the smallest error with ten steps of the midpoint rule


class Tableau(NamedTuple):
    """An explicit Runge-Kutta method."""

    nodes: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]


TABLEAUS: dict[Solver, Tableau] = {
    "euler": Tableau((0.0,), ((),), (1.0,)),
    "midpoint": Tableau((0.0, 0.5), ((), (0.5,)), (0.0, 1.0)),
    "heun": Tableau((0.0, 1.0), ((), (1.0,)), (0.5, 0.5)),
    "rk4": Tableau(  # the 3/8 rule, which the release's sampler uses
        (0.0, 1 / 3, 2 / 3, 1.0),
        ((), (1 / 3,), (-1 / 3, 1.0), (1.0, -1.0, 1.0)),
        (1 / 8, 3 / 8, 3 / 8, 1 / 8),
    ),
}


def times(steps: int, *, spacing: Spacing) -> tuple[float, ...]:
    """Times between steps, from 0 to 1, (steps + 1,).

    "late" makes steps shorter towards 1, where a velocity changes fastest: the remaining noise must
    disappear in the remaining time.
    """
    even = [step / steps for step in range(steps + 1)]
    return tuple(even if spacing == "even" else [1 - (1 - u) ** LATENESS for u in even])


def solve(
    velocity: Callable[[Tensor, float], Tensor],
    start: Tensor,
    *,
    solver: Solver,
    steps: int,
    spacing: Spacing = "even",
) -> Tensor:
    """Integrate from t = 0 to t = 1 and return the end point.

    Args:
        velocity: Maps (x, t) to dx/dt, of x's shape.
        start: x at t = 0.
        solver: Which method.
        steps: Number of steps, at least 1.
        spacing: How long each step is.
    """
    x = start
    for t, end in pairwise(times(steps, spacing=spacing)):
        x = _advance(velocity, x, t=t, dt=end - t, tableau=TABLEAUS[solver])
    return x


def _advance(
    velocity: Callable[[Tensor, float], Tensor],
    x: Tensor,
    *,
    t: float,
    dt: float,
    tableau: Tableau,
) -> Tensor:
    slopes: list[Tensor] = []
    for node, row in zip(tableau.nodes, tableau.stages, strict=True):
        slopes.append(velocity(_along(x, slopes, row, dt=dt), t + node * dt))
    return _along(x, slopes, tableau.weights, dt=dt)


def _along(x: Tensor, slopes: list[Tensor], weights: tuple[float, ...], *, dt: float) -> Tensor:
    for slope, weight in zip(slopes, weights, strict=True):
        if weight:
            x = torch.add(x, slope, alpha=weight * dt)
    return x
