"""Facts of a velocity in the span of principal components."""

import numpy as np
import pytest
import torch
from torch import Tensor

from scdfm.flow.fine_tune import start_from
from scdfm.model.components import principal_components
from scdfm.model.paper import VelocityField
from tests.scdfm import small

DRAW = np.random.default_rng(0)
COMPONENTS = torch.from_numpy(np.linalg.qr(DRAW.normal(size=(small.GENES, 2)))[0])


def field(*, seed: int = 0) -> VelocityField:
    made = small.awake(small.field(rank=2, seed=seed))
    made.give({"low_rank.components": COMPONENTS})
    return made


def velocity(made: VelocityField, genes: Tensor) -> Tensor:
    step = small.cells()
    answer: Tensor = made(
        step.target[:, genes],
        torch.linspace(0, 1, len(step.target), dtype=torch.float64),
        control=step.control[:, genes],
        genes=genes,
        conditions=step.conditions,
        unit_of_cell=step.unit_of_cell,
    )
    return answer


def outside(values: Tensor, genes: Tensor) -> Tensor:
    """What least squares on the components of these genes leaves."""
    some = COMPONENTS[genes]
    return values - (some @ torch.linalg.lstsq(some, values.mT).solution).mT


@pytest.mark.parametrize("genes", [range(small.GENES), [5, 0, 3]], ids=["all", "a step's"])
def test_a_closed_gate_keeps_the_velocity_in_the_span(genes: list[int]) -> None:
    made, asked = field(), torch.tensor(list(genes))
    found = velocity(made, asked)
    assert found.norm() > 0.1
    torch.testing.assert_close(outside(found, asked), torch.zeros_like(found), atol=1e-9, rtol=0)


def test_an_open_gate_leaves_the_velocity_alone() -> None:
    made, genes = field(), torch.arange(small.GENES)
    torch.nn.init.ones_(made.low_rank.gate)
    plain = small.awake(small.field())
    plain.load_state_dict(made.state_dict(), strict=False)
    torch.testing.assert_close(velocity(made, genes), velocity(plain, genes))


def test_the_projection_is_nearly_the_orthogonal_one() -> None:
    made, genes = field(), torch.arange(small.GENES)
    values = torch.randn(3, small.GENES, dtype=torch.float64)
    ours = made.low_rank(values, made.low_rank.span(genes))
    torch.testing.assert_close(ours, values - outside(values, genes), atol=1e-3, rtol=1e-3)


def test_the_gate_learns() -> None:
    made = field()
    velocity(made, torch.arange(small.GENES)).square().sum().backward()
    assert made.low_rank.gate.grad != 0


def test_components_are_facts_of_the_own_cells_and_no_weights() -> None:
    made, source = field(), field(seed=3)
    assert set(made.given) == {"low_rank.components"}
    assert "low_rank.components" not in dict(made.named_parameters())
    source.give({"low_rank.components": 2 * COMPONENTS})
    start_from(made, source=source)
    assert torch.equal(made.low_rank.components, COMPONENTS)


def test_components_are_the_directions_of_most_variance_within_groups() -> None:
    cells = DRAW.normal(size=(300, 5)) * [1, 5, 1, 3, 1] + 40
    apart = cells + np.array([0, 0, 1e3, 0, 0])  # groups differ most in gene 2, which is no change
    found = principal_components([[cells[:7], cells[7:]], [apart]], genes=5, rank=2)
    centred = cells - cells.mean(axis=0)
    expected = np.linalg.svd(centred, full_matrices=False)[2][:2].T
    np.testing.assert_allclose(np.abs(found.T @ expected), np.eye(2), atol=1e-5)
    assert (found[[1, 3], [0, 1]] > 0.9).all()


def test_directions_without_variance_are_left_out() -> None:
    line = np.outer(DRAW.normal(size=20), [1.0, 2.0, 0.0, 0.0])
    found = principal_components([[line]], genes=4, rank=6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), [1, 0, 0, 0, 0, 0], atol=1e-6)
