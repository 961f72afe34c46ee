"""Where facts of computing are checked: always on CPU, on CUDA where there is one."""

import dataclasses

import pytest
import torch

from scdfm.flow.method import flow_losses
from scdfm.flow.objective import StepCells
from scdfm.flow.training import Trainer, TrainingConfig
from scdfm.model.field import VelocityField
from tests.scdfm import small

ON_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]
CUDA = pytest.param("cuda", marks=ON_GPU)


def field(
    device: str, *, variant: str = "paper", dropout: float = 0.0, layers: int = 2
) -> VelocityField:
    """A field of one head of 64 features, gates open, in float32."""
    made = small.field(variant=variant, width=64, heads=1, layers=layers, dropout=dropout)
    return small.awake(made).float().to(device)


def cells(device: str, *, index: int = 0, each: int = 4) -> StepCells:
    """Two units of a step; the index decides the values."""
    draw = torch.Generator().manual_seed(index)
    step = small.cells(each=each)
    return dataclasses.replace(
        step,
        index=index,
        target=(3 * torch.rand(step.target.shape, generator=draw)).to(device),
        control=(3 * torch.rand(step.control.shape, generator=draw)).to(device),
        genes=step.genes.to(device),
        conditions=step.conditions.to(device),
    )


def trainer(
    device: str,
    *,
    variant: str = "paper",
    dropout: float = 0.1,
    layers: int = 2,
    products: torch.dtype | None = None,
    compiled: bool = False,
    clip_norm: float | None = None,
    ema: float | None = None,
    checkpoint_activations: bool = False,
) -> Trainer:
    """A trainer that begins from the same weights on every device."""
    return Trainer(
        field(device, variant=variant, dropout=dropout, layers=layers),
        training=TrainingConfig(
            steps=8,
            learning_rate=1e-3,
            clip_norm=clip_norm,
            ema=ema,
            checkpoint_activations=checkpoint_activations,
        ),
        losses=flow_losses(source="other_control", products=products),
        seed=3,
        compiled=compiled,
    )
