"""Facts of the base channel: a network that reads the shrunken change of its condition."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from scdfm.flow.config import LossConfig, SamplingConfig
from scdfm.flow.loop.state import first_non_finite
from scdfm.flow.objective import step_losses
from scdfm.flow.sampling import Cells, generate
from scdfm.metrics.baselines import MeasuredUnits
from scdfm.metrics.shrunken import Base, fit
from scdfm.model.config import ModelConfig
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
            genes=("G1", *(f"other{k}" for k in range(1, small.GENES))),
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


@pytest.mark.parametrize("rank", [None, 2])
def test_a_field_at_rest_has_its_guess_for_a_velocity(rank: int | None) -> None:
    made = small.field(base_channel=True, base_velocity=True, rank=rank)
    made.give(given(base()))
    made.start_at_rest()
    change = torch.rand(2, small.GENES, dtype=torch.float64)
    found = velocity(made, change)
    torch.testing.assert_close(found, change[small.cells().unit_of_cell])


def test_a_field_adds_what_it_has_learnt_to_its_guess() -> None:
    without, made = field(base()), small.awake(small.field(base_channel=True, base_velocity=True))
    made.load_state_dict(without.state_dict())
    change = torch.rand(2, small.GENES, dtype=torch.float64)
    added = velocity(made, change) - velocity(without, change)
    torch.testing.assert_close(added, change[small.cells().unit_of_cell])


def test_a_guess_without_a_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="base_velocity expects base_channel, got base_channel=fa"):
        ModelConfig(base_velocity=True)


def test_the_base_comes_back_with_the_weights_whatever_its_size() -> None:
    known = base()
    made, other = field(known), small.field(base_channel=True)
    other.load_state_dict(made.state_dict())
    asked = (["a", "b"], [("G1", "G3"), ("X",)])
    for context, condition in zip(*asked, strict=True):
        expected = known.delta([context], [condition]).delta[0]
        np.testing.assert_array_equal(other.base_channel.change(context, condition), expected)


@pytest.mark.parametrize("lacking", [("own", "own_places", "own_variance"), ("own_variance",)])
def test_the_weights_of_a_version_whose_bases_held_less_are_read(lacking: tuple[str, ...]) -> None:
    made, other = field(base()), small.field(base_channel=True)
    state = made.state_dict()
    for name in lacking:
        del state[f"base_channel.{name}"]
    other.load_state_dict(state)
    torch.testing.assert_close(other.base_channel.effects, made.base_channel.effects)
    assert np.isfinite(other.base_channel.change("a", ("G1", "G3"))).all()


def test_a_table_without_rows_is_finite() -> None:
    nothing, bad = torch.zeros(0, 3), torch.tensor([1.0, torch.nan])
    assert first_non_finite({"none": nothing, "some": torch.ones(2)}) is None
    assert first_non_finite({"none": nothing, "bad": bad}) == "bad"


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
