"""Facts of the straight path and of the loss along it."""

import pytest
import torch

from scdfm.flow.config import LossConfig
from scdfm.flow.mmd import unit_mmd
from scdfm.flow.objective import step_losses
from scdfm.flow.paths.straight import end_point, straight_path
from scdfm.flow.sources.control import others
from tests.scdfm import small


def test_following_the_velocity_from_the_source_reaches_the_target() -> None:
    source, target = torch.randn(2, 4, 3)
    point = straight_path(source, target, t=torch.zeros(4))
    torch.testing.assert_close(point.x + point.velocity, target)


def test_the_velocity_is_constant_along_the_path() -> None:
    source, target = torch.randn(2, 4, 3)
    early = straight_path(source, target, t=torch.full((4,), 0.1))
    late = straight_path(source, target, t=torch.full((4,), 0.9))
    torch.testing.assert_close(early.velocity, late.velocity)


def test_the_true_velocity_ends_at_the_target_from_anywhere() -> None:
    source, target = torch.randn(2, 4, 3)
    t = torch.tensor([0.0, 0.3, 0.7, 1.0])
    point = straight_path(source, target, t=t)
    torch.testing.assert_close(end_point(point.x, point.velocity, t), target)


def test_unpaired_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="pair row by row"):
        straight_path(torch.zeros(4, 3), torch.zeros(5, 3), t=torch.zeros(4))


def test_a_field_at_rest_loses_the_squared_change_from_control() -> None:
    made = small.field()
    made.start_at_rest()
    step = small.cells()
    losses = step_losses(
        made,
        step,
        source="control",
        config=LossConfig(mmd_weight=0),
        generator=torch.Generator().manual_seed(0),
    )
    expected = (step.target - step.control).square().mean().float()
    torch.testing.assert_close(losses.parts["cfm"].float(), expected)
    assert losses.parts["mmd"] == 0


def test_the_total_is_the_flow_loss_plus_the_weighted_discrepancy() -> None:
    losses = step_losses(
        small.field(),
        small.cells(),
        source="noise",
        config=LossConfig(mmd_weight=0.25),
        generator=torch.Generator().manual_seed(0),
    )
    torch.testing.assert_close(losses.total, losses.parts["cfm"] + 0.25 * losses.parts["mmd"])


def test_units_of_one_cell_have_no_discrepancy() -> None:
    torch.manual_seed(0)
    ours, theirs = torch.randn(2, 5, 3)
    with_one = unit_mmd(ours, theirs, sizes=(4, 1))
    torch.testing.assert_close(with_one, unit_mmd(ours[:4], theirs[:4], sizes=(4,)))
    assert unit_mmd(ours[:2], theirs[:2], sizes=(1, 1)) == 0


def test_from_its_own_control_cell_the_velocity_can_be_read_off() -> None:
    control, target = torch.randn(2, 4, 3)
    t = torch.tensor([0.2, 0.4, 0.6, 1.0])
    point = straight_path(control, target, t=t)
    torch.testing.assert_close((point.x - control) / t[:, None], point.velocity)


def test_another_control_cell_is_of_the_same_unit_and_never_the_same() -> None:
    control = torch.arange(5.0)[:, None]
    assert others(control, sizes=(2, 3)).flatten().tolist() == [1, 0, 3, 4, 2]
