"""Facts of a compiled velocity: it changes the speed and nothing else."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from scdfm.flow.sampling import SamplingConfig, rollout
from scdfm.flow.training import Trainer
from tests.gpu.devices import CUDA, cells, field, trainer

pytestmark = pytest.mark.timeout(1_000)  # the compiler takes a minute on a busy core

CPU = pytest.param("cpu", marks=pytest.mark.slow)
STEPS = (4, 6, 3, 5)  # cells of a unit in each step: the last batches of a store are ragged


@pytest.fixture
def graphs() -> Iterator["Graphs"]:
    """Counts what is compiled, from nothing."""
    torch.compiler.reset()
    yield Graphs()
    torch.compiler.reset()


class Graphs:
    """How many graphs torch has compiled since the object was made."""

    def __init__(self) -> None:
        self._before = self._total()

    def count(self) -> int:
        return self._total() - self._before

    @staticmethod
    def _total() -> int:
        from torch._dynamo.utils import counters

        return int(counters["stats"]["unique_graphs"])


def losses(made: Trainer, *, device: str) -> list[Tensor]:
    steps = (cells(device, index=index, each=each) for index, each in enumerate(STEPS))
    made_losses = (made.step(step) for step in steps)
    return [torch.stack([one.total, *one.parts.values()]).detach() for one in made_losses]


@pytest.mark.parametrize("device", [CPU, CUDA])
def test_compiled_steps_equal_plain_ones_whatever_the_number_of_cells(
    device: str, graphs: Graphs
) -> None:
    plain, compiled = (trainer(device, compiled=compiled, layers=1) for compiled in (False, True))
    torch.testing.assert_close(
        losses(compiled, device=device), losses(plain, device=device), rtol=1e-4, atol=1e-5
    )
    # One for the first shape, one or two (by size) for all others; never one for each.
    assert graphs.count() <= 3


@pytest.mark.parametrize("device", [CUDA])
def test_a_compiled_rollout_equals_a_plain_one(device: str) -> None:
    plain, compiled = (trainer(device, compiled=compiled) for compiled in (False, True))
    step = cells(device)
    ends = [
        rollout(
            made.model,
            start=step.control,
            control=step.control,
            genes=step.genes,
            conditions=step.conditions,
            unit_of_cell=step.unit_of_cell,
            config=SamplingConfig(steps=2),
        )
        for made in (compiled, plain)
    ]
    torch.testing.assert_close(*ends, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("device", [CUDA])
@pytest.mark.parametrize("variant", ["paper", "release"])
def test_compiled_steps_equal_plain_ones_in_half_the_bits_with_recomputed_activations(
    device: str, variant: str
) -> None:
    plain, compiled = (
        trainer(
            device,
            variant=variant,
            products=torch.bfloat16,
            compiled=compiled,
            checkpoint_activations=True,
        )
        for compiled in (False, True)
    )
    torch.testing.assert_close(
        losses(compiled, device=device), losses(plain, device=device), rtol=0.05, atol=0.05
    )


def test_a_copy_of_a_compiled_field_uses_its_own_weights() -> None:
    made = field("cpu")
    made.compile_velocity()  # nothing is compiled before the first call
    other = copy.deepcopy(made)
    assert "velocity" in vars(made)
    assert "velocity" not in vars(other)
    assert other.velocity.__self__ is other  # type: ignore[attr-defined]
    assert list(made.state_dict()) == list(field("cpu").state_dict())
