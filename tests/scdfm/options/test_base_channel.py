"""Facts of the base channel: a network that reads the shrunken change of its condition."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from scdfm.flow.config import LossConfig, SamplingConfig
from scdfm.flow.objective import step_losses
from scdfm.flow.sampling import Cells, generate
from scdfm.metrics.baselines import MeasuredUnits
from scdfm.metrics.shrunken import Base, fit
from scdfm.model.paper import VelocityField
from tests.scdfm import small

DRAW = np.random.default_rng(3)


def base() -> Base:
    conditions = (("G1",), ("G3",), ("G1", "G3"))
    change = DRAW.normal(size=(3, small.GENES))
    return fit(
        MeasuredUnits(
            contexts=("a",) * 3,
            conditions=conditions,
            control=np.ones((3, small.GENES)),
            mean=1 + change,
            noise=np.full(3, 0.1),
        )
    )


def given(known: Base) -> dict[str, Tensor]:
    return {f"base_channel.{k}": torch.from_numpy(v) for k, v in known.arrays().items()}


def field(known: Base) -> VelocityField:
    made = small.awake(small.field(base_channel=True))
    made.give(given(known))
    torch.nn.init.normal_(made.base_channel.out.weight)
    return made


def velocity(made: VelocityField, change: Tensor) -> Tensor:
    step = small.cells()
    answer: Tensor = made(
        step.target,
        torch.full((len(step.target),), 0.5, dtype=torch.float64),
        control=step.control,
        genes=step.genes,
        conditions=step.conditions,
        unit_of_cell=step.unit_of_cell,
        base=change,
    )
    return answer


def test_each_cell_reads_the_change_of_its_own_unit() -> None:
    made = field(base())
    change = torch.zeros(2, small.GENES, dtype=torch.float64)
    before = velocity(made, change)
    change[1, 2] = 1.0
    moved = (velocity(made, change) - before).abs().sum(dim=1)
    assert moved[:4].max() == 0
    assert moved[4:].min() > 1e-4


def test_a_new_channel_adds_nothing_and_then_learns() -> None:
    made = small.awake(small.field(base_channel=True))
    made.give(given(base()))
    change = torch.rand(2, small.GENES, dtype=torch.float64)
    found = velocity(made, change)
    torch.testing.assert_close(found, velocity(made, 0 * change))
    found.square().sum().backward()
    assert made.base_channel.out.weight.grad.norm() > 0


def test_the_base_comes_back_with_the_weights_whatever_its_size() -> None:
    known = base()
    made, other = field(known), small.field(base_channel=True)
    other.load_state_dict(made.state_dict())
    asked = (["a", "b"], [("G1", "G3"), ("X",)])
    for context, condition in zip(*asked, strict=True):
        expected = known.delta([context], [condition]).delta[0]
        np.testing.assert_array_equal(other.base_channel.change(context, condition), expected)


def test_a_prediction_reads_the_change_of_its_condition() -> None:
    control = DRAW.random((3, small.GENES), dtype=np.float32)
    cells = Cells(control, control, range(3), [0] * 3, context="a")

    def predicted(known: Base) -> np.ndarray:
        return generate(
            field(known).float(),
            cells,
            condition=("G1",),
            blocks=[np.array([4, 2])],
            source="control",
            config=SamplingConfig(steps=2),
            seed=0,
        )

    known = base()
    assert predicted(known).shape == (3, 2)
    other = replace(known, effects=known.effects[:, ::-1].copy())
    assert np.abs(predicted(known) - predicted(other)).max() > 1e-4


@pytest.mark.parametrize("told", [True, False])
def test_a_step_reads_what_its_batch_says(told: bool) -> None:
    step = small.cells()
    change = torch.rand(2, small.GENES, dtype=torch.float64)
    made = field(base()) if told else small.field()
    losses = step_losses(
        made,
        replace(step, base=change) if told else step,
        source="control",
        config=LossConfig(mmd_weight=0),
        generator=torch.Generator().manual_seed(0),
    )
    losses.total.backward()
    assert not told or made.base_channel.hidden.weight.grad.norm() > 0
