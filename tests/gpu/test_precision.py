"""Facts of bfloat16 under autocast: close to float32, and float32 where it matters."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scdfm.flow.sampling import SamplingConfig, rollout
from scdfm.method import Losses
from scdfm.model.precision import autocast, wide
from tests.gpu.devices import CUDA, cells, field, trainer

pytestmark = pytest.mark.timeout(120)

# Of a velocity's 2-norm. bfloat16 keeps 8 bits, 0.4 % at each rounding, and every block rounds
# what it hands on; 1-6 % was measured over networks of 2 to 4 layers.
TOLERANCE = 0.06


def velocity(device: str, *, variant: str, products: torch.dtype | None) -> Tensor:
    step = cells(device)
    with torch.no_grad(), autocast(torch.device(device), products):
        value: Tensor = field(device, variant=variant)(
            step.target,
            torch.linspace(0.1, 0.9, len(step.target), device=device),
            control=step.control,
            genes=step.genes,
            conditions=step.conditions,
            unit_of_cell=step.unit_of_cell,
        )
    return value.float()


@pytest.mark.parametrize("variant", ["paper", "release"])
@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_velocity_in_half_the_bits_is_close(device: str, variant: str) -> None:
    plain = velocity(device, variant=variant, products=None)
    half = velocity(device, variant=variant, products=torch.bfloat16)
    assert 0 < (half - plain).norm() < TOLERANCE * plain.norm()


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_gradient_in_half_the_bits_points_the_same_way(device: str) -> None:
    def gradient(products: torch.dtype | None) -> Tensor:
        made = trainer(device, dropout=0.0, products=products)
        made.step(cells(device))
        weights = made.model.parameters()
        return torch.cat([w.grad.flatten() for w in weights if w.grad is not None])

    plain, half = gradient(None), gradient(torch.bfloat16)
    assert half.dtype == torch.float32
    assert nn.functional.cosine_similarity(half, plain, dim=0) > 0.99


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_the_loss_and_its_parts_are_float32(device: str) -> None:
    losses: Losses = trainer(device, products=torch.bfloat16).step(cells(device))
    assert {part.dtype for part in (losses.total, *losses.parts.values())} == {torch.float32}


@pytest.mark.parametrize("variant", ["paper", "release"])
@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_the_difference_of_two_maps_is_normalised_in_float32(device: str, variant: str) -> None:
    made = field(device, variant=variant)
    seen: list[tuple[torch.dtype, torch.dtype]] = []

    def look(_: nn.Module, given: tuple[Any, ...], out: Tensor) -> None:
        seen.append((given[0].dtype, out.dtype))

    norms = [module for module in made.modules() if isinstance(module, nn.RMSNorm)]
    for norm in norms:
        norm.register_forward_hook(look)
    step = cells(device)
    with autocast(torch.device(device), torch.bfloat16):
        made(
            step.target,
            torch.zeros(len(step.target), device=device),
            control=step.control,
            genes=step.genes,
            conditions=step.conditions,
            unit_of_cell=step.unit_of_cell,
        )
    assert seen == [(torch.float32, torch.float32)] * len(norms)
    assert len(norms) == 4  # two attentions in each of two blocks


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_the_solver_sums_in_float32(device: str) -> None:
    step = cells(device)
    end = rollout(
        field(device),
        start=step.control,
        control=step.control,
        genes=step.genes,
        conditions=step.conditions,
        unit_of_cell=step.unit_of_cell,
        config=SamplingConfig(steps=2),
        products=torch.bfloat16,
    )
    assert end.dtype == torch.float32


def test_widening_never_narrows() -> None:
    given = (torch.bfloat16, torch.float32, torch.float64)
    widened = [wide(torch.zeros(1, dtype=dtype)).dtype for dtype in given]
    assert widened == [torch.float32, torch.float32, torch.float64]
