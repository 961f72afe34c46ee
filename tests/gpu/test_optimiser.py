"""Facts of optimiser steps on a device: fused or not, stopped or not, the weights are the same."""

from pathlib import Path

import pytest
import torch

from scdfm.flow.checkpoint import load_state, save_state
from scdfm.flow.training import Trainer
from tests.gpu.devices import CUDA, ON_GPU, cells, trainer

pytestmark = pytest.mark.timeout(120)


def take(made: Trainer, *, steps: int, device: str) -> None:
    for _ in range(steps):
        made.step(cells(device, index=made.progress.next_batch))


def assert_same(ours: Trainer, theirs: Trainer, *, rtol: float, atol: float) -> None:
    for one, other in zip(ours.sampler.parameters(), theirs.sampler.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=atol)


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_fused_step_equals_an_unfused_one(device: str) -> None:
    fused, unfused = trainer(device, clip_norm=1.0), trainer(device, clip_norm=1.0)
    fused.optimiser = torch.optim.AdamW(fused.model.parameters(), lr=1e-3, fused=True)
    unfused.optimiser = torch.optim.AdamW(unfused.model.parameters(), lr=1e-3, fused=False)
    for made in (fused, unfused):
        take(made, steps=1, device=device)
    assert_same(fused, unfused, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("device", [CUDA])
def test_the_optimiser_is_fused_on_a_gpu(device: str) -> None:
    assert [group["fused"] for group in trainer(device).optimiser.param_groups] == [True]


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("products", [None, torch.bfloat16], ids=["float32", "bf16"])
def test_a_stopped_run_goes_on_to_the_same_weights(
    device: str, products: torch.dtype | None, tmp_path: Path
) -> None:
    whole, first, second = (
        trainer(device, products=products, clip_norm=0.5, ema=0.9) for _ in range(3)
    )
    take(whole, steps=5, device=device)
    take(first, steps=2, device=device)
    save_state(first.state(), tmp_path / "state")
    second.restore(load_state(tmp_path / "state"))
    take(second, steps=3, device=device)
    # On a GPU sums of a backward pass may come in another order; on CPU every bit is the same.
    near = {"rtol": 0.0, "atol": 0.0} if device == "cpu" else {"rtol": 1e-3, "atol": 1e-4}
    assert_same(second, whole, **near)


@pytest.mark.parametrize(
    ("begun", "continued"),
    [
        pytest.param("cuda", "cpu", marks=ON_GPU),
        pytest.param("cpu", "cuda", marks=ON_GPU),
    ],
)
def test_a_run_begun_on_one_device_continues_on_the_other(
    begun: str, continued: str, tmp_path: Path
) -> None:
    whole, first = trainer(begun, dropout=0.0), trainer(begun, dropout=0.0)
    second = trainer(continued, dropout=0.0)
    for made in (whole, first):
        take(made, steps=2, device=begun)
    save_state(first.state(), tmp_path / "state")
    second.restore(load_state(tmp_path / "state"))
    ours = second.step(cells(continued, index=2))
    theirs = whole.step(cells(begun, index=2))
    torch.testing.assert_close(ours.total.cpu(), theirs.total.cpu(), rtol=1e-3, atol=1e-4)
    assert second.progress.step == 3
