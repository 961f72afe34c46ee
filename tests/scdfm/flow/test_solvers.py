"""Facts of the solvers, on equations whose solution is known."""

import math
from itertools import pairwise

import pytest
import torch
from torchdiffeq import odeint

from scdfm.flow.solvers import Solver, Spacing, solve, times

ORDERS: dict[Solver, int] = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}


def curve(x: torch.Tensor, t: float) -> torch.Tensor:
    """dx/dt = sin(t) x^2: the solution at 1 is x0 / (1 - x0 (1 - cos 1))."""
    return math.sin(t) * x.square()


@pytest.mark.parametrize("spacing", ["even", "late"])
@pytest.mark.parametrize("solver", ORDERS)
def test_the_order_shows_in_the_slope_of_the_error(solver: Solver, spacing: Spacing) -> None:
    start = torch.full((1,), 0.5, dtype=torch.float64)
    exact = 0.5 / (1 - 0.5 * (1 - math.cos(1)))
    errors = [
        abs(solve(curve, start, solver=solver, steps=steps, spacing=spacing).item() - exact)
        for steps in (20, 40)
    ]
    slope = math.log2(errors[0] / errors[1])
    assert slope == pytest.approx(ORDERS[solver], abs=0.25)


@pytest.mark.parametrize(
    ("solver", "theirs"), [("euler", "euler"), ("midpoint", "midpoint"), ("rk4", "rk4")]
)
def test_torchdiffeq_agrees(solver: Solver, theirs: str) -> None:
    torch.manual_seed(0)
    weights = torch.randn(5, 5, dtype=torch.float64)
    start = torch.randn(3, 5, dtype=torch.float64)

    def velocity(x: torch.Tensor, t: float) -> torch.Tensor:
        return torch.tanh(x @ weights) * (1 + t)

    times = torch.linspace(0, 1, 8, dtype=torch.float64)
    expected = odeint(lambda t, x: velocity(x, float(t)), start, times, method=theirs)[-1]
    torch.testing.assert_close(solve(velocity, start, solver=solver, steps=7), expected)


def test_late_steps_grow_shorter_towards_the_end() -> None:
    late = times(10, spacing="late")
    lengths = [end - start for start, end in pairwise(late)]
    assert (late[0], late[-1]) == (0.0, 1.0)
    assert lengths == sorted(lengths, reverse=True)


def test_late_steps_serve_a_velocity_that_ends_steeply() -> None:
    """Noise that must be gone at 1, as a flow over mostly unexpressed genes has it."""
    start = torch.ones(1, dtype=torch.float64)
    errors = [
        abs(solve(shrink, start, solver="midpoint", steps=10, spacing=spacing).item() - 0.02)
        for spacing in ("even", "late")
    ]
    assert errors[1] < errors[0] / 2


def shrink(x: torch.Tensor, t: float) -> torch.Tensor:
    """The standard deviation along the path falls from 1 to 0.02."""
    left, kept = 1 - t, 0.02 * t
    return x * (0.02 * kept - left) / (left**2 + kept**2)
