"""Facts of the times and the pairs of a step's cells."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scdfm.flow.config import LossConfig
from scdfm.flow.objective import StepCells, step_losses
from scdfm.flow.paths.pairs import optimal_pairs
from scdfm.flow.paths.times import TIMES
from tests.scdfm import small

SIZES = (5, 1, 4)


def cells(rows: int = 10) -> tuple[Tensor, Tensor]:
    start, target = torch.rand(2, rows, 3, generator=torch.Generator().manual_seed(4))
    return start, target


def cost(start: Tensor, target: Tensor) -> Tensor:
    return (start - target).square().sum()


def test_pairs_are_a_permutation_inside_each_unit() -> None:
    order = optimal_pairs(*cells(), sizes=SIZES)
    assert [part.sort().values.tolist() for part in order.split(list(SIZES))] == [
        [0, 1, 2, 3, 4],
        [5],
        [6, 7, 8, 9],
    ]


def test_no_exchange_inside_a_unit_costs_less() -> None:
    start, target = cells()
    order = optimal_pairs(start, target, sizes=SIZES)
    best = cost(start[order], target)
    assert best < 0.9 * cost(start, target)
    for one in range(4):
        for other in range(one + 1, 5):
            swapped = order.clone()
            swapped[[one, other]] = order[[other, one]]
            assert cost(start[swapped], target) >= best


class _Listens(nn.Module):
    """Keeps what it is called with; moves nothing."""

    def forward(self, x_t: Tensor, t: Tensor, **rest: Any) -> Tensor:
        self.x_t, self.t, self.control = x_t, t, rest["control"]
        return torch.zeros_like(x_t, requires_grad=True)


def listen(step: StepCells, *, source: str, **config: Any) -> _Listens:
    field = _Listens()
    config = {"mmd_weight": 0, **config}
    step_losses(
        field,
        step,
        source=source,
        config=LossConfig.model_validate(config),
        generator=torch.Generator().manual_seed(0),
    )
    return field


@pytest.mark.parametrize("source", ["control", "other_control"])
def test_a_start_keeps_the_control_cell_that_is_read_beside_it(source: str) -> None:
    step = small.cells()
    drawn = listen(step, source=source)
    paired = listen(step, source=source, pairs="optimal")

    def starts(field: _Listens) -> Tensor:
        t = field.t[:, None]
        return (field.x_t - t * step.target) / (1 - t)

    def together(field: _Listens) -> set[tuple[int, ...]]:
        both = torch.cat([starts(field), field.control], dim=1)
        return {tuple((1e4 * row).round().long().tolist()) for row in both}

    assert together(drawn) == together(paired)
    assert cost(starts(paired), step.target) < cost(starts(drawn), step.target)


def test_times_of_the_logit_normal_are_in_the_middle() -> None:
    draws = {name: draw(4000, torch.Generator().manual_seed(0)) for name, draw in TIMES.items()}
    spread = {name: t.std().item() for name, t in draws.items()}
    assert all(t.min() > 0 and t.max() < 1 for t in draws.values())
    assert all(abs(t.mean() - 0.5) < 0.02 for t in draws.values())
    assert spread == pytest.approx({"uniform": 0.289, "logit_normal": 0.208}, abs=0.01)


def test_a_step_draws_its_times_as_it_is_told() -> None:
    step = small.cells()
    listened = listen(step, source="control", times="logit_normal")
    expected = TIMES["logit_normal"](len(step.target), torch.Generator().manual_seed(0))
    assert torch.equal(listened.t, expected)
