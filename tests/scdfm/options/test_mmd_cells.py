"""Facts of an MMD that compares with more real cells than a step moves."""

from dataclasses import replace

import pytest
import torch

from scdfm.flow.config import LossConfig
from scdfm.flow.mmd import mmd2, unit_mmd
from scdfm.flow.objective import step_losses
from tests.scdfm import small


@pytest.mark.parametrize("real_sizes", [(6, 6), (5, 7), (1, 11)])
def test_each_unit_is_compared_with_its_own_real_cells(real_sizes: tuple[int, int]) -> None:
    draw = torch.Generator().manual_seed(0)
    generated, real = torch.rand(8, 3, generator=draw), torch.rand(12, 3, generator=draw)
    first, _ = real_sizes
    pairs = [(generated[:4], real[:first]), (generated[4:], real[first:])]
    expected = torch.stack([mmd2(*pair) for pair in pairs if len(pair[1]) > 1]).mean()
    found = unit_mmd(generated, real, sizes=(4, 4), real_sizes=real_sizes)
    torch.testing.assert_close(found, expected)


def test_the_loss_reads_the_reference_and_not_the_targets() -> None:
    step = small.cells()

    def mmd(reference: torch.Tensor | None, sizes: tuple[int, ...] = ()) -> float:
        losses = step_losses(
            small.field(),
            replace(step, reference=reference, reference_sizes=sizes),
            source="control",
            config=LossConfig(mmd_weight=1.0, mmd_cells=6),
            generator=torch.Generator().manual_seed(0),
        )
        return losses.parts["mmd"].item()

    assert mmd(step.target, step.sizes) == pytest.approx(mmd(None))
    assert mmd(step.target + 3, step.sizes) > mmd(None) + 0.05
    assert mmd(step.target[[0, 1, 2, 4, 5]], (3, 2)) != pytest.approx(mmd(None))


def test_cells_for_an_mmd_that_is_left_out_are_refused() -> None:
    with pytest.raises(ValueError, match="which mmd_weight 0 leaves out, got 8; remove mmd_cells"):
        LossConfig(mmd_weight=0, mmd_cells=8)
