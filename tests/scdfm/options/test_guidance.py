"""Facts of guidance: further in the direction that the condition's tokens add."""

import torch
from torch import Tensor

from scdfm.flow.config import SamplingConfig
from scdfm.flow.sampling import rollout
from scdfm.model.unknown import all_unknown
from scdfm.model.vocabulary import EMPTY, UNKNOWN
from tests.scdfm import small


def after_one_step(weight: float, *, conditions: list[list[int]] | None = None) -> Tensor:
    """From an Euler step of length 1 the change is the velocity at the start."""
    made = small.awake(small.field(token_dropout=0.5))
    torch.nn.init.normal_(made.unknown.embedding)
    step = small.cells()
    end = rollout(
        made,
        start=step.control,
        control=step.control,
        genes=step.genes,
        conditions=step.conditions if conditions is None else torch.tensor(conditions),
        unit_of_cell=step.unit_of_cell,
        config=SamplingConfig(solver="euler", steps=1, clamp=False, guidance=weight),
    )
    return end - step.control


def test_guidance_is_a_line_through_the_velocities_with_and_without_tokens() -> None:
    null = small.vocabulary().null
    own = after_one_step(1)
    free = after_one_step(1, conditions=[[UNKNOWN, null], [UNKNOWN, UNKNOWN]])
    assert (own - free).abs().max() > 1e-3
    torch.testing.assert_close(after_one_step(2.5), free + 2.5 * (own - free))


def test_unknown_conditions_keep_their_number_of_perturbations() -> None:
    conditions = torch.tensor([[1, 7, EMPTY], [1, 3, 5]])
    assert all_unknown(conditions, null=7).tolist() == [[UNKNOWN, 7, EMPTY], [UNKNOWN] * 3]


def test_how_cells_are_generated_says_the_guidance() -> None:
    assert str(SamplingConfig()) == "midpoint, 10 steps"
    assert str(SamplingConfig(guidance=1.5)) == "midpoint, 10 steps, guidance 1.5"
