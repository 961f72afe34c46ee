"""Small parts of the network: embedders, the modulation by time, the two kinds of MLP.

Axes: cells, genes, width. Time runs from 0 to 1.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

FREQUENCIES = 256  # sinusoids and cosinusoids of the time embedding, together
TIME_SCALE = 1000.0  # the sinusoids were made for diffusion steps, not for [0, 1]


class ValueEmbedder(nn.Module):
    """E_v: an expression value becomes a vector. Source: scDFM, section 3.3."""

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(1, width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor) -> Tensor:
        """Embed values (cells, genes) as (cells, genes, width)."""
        hidden = functional.relu(self.hidden(values.unsqueeze(-1)), inplace=True)
        embedded: Tensor = self.dropout(self.norm(self.out(hidden)))
        return embedded


class TimeEmbedder(nn.Module):
    """Sinusoids of 1000 t, then an MLP with SiLU. Source: scDFM, section A.3."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        half = FREQUENCIES // 2
        rates = torch.exp(-math.log(10_000) * torch.arange(half) / half)
        self.register_buffer("frequencies", rates, persistent=False)
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        """Embed times (cells,) as (cells, width)."""
        angles = TIME_SCALE * t[:, None] * self.frequencies
        embedded: Tensor = self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1))
        return embedded


class Shift(NamedTuple):
    """What time does to one sub-layer: shift, scale and gate, each (cells, 1, width)."""

    shift: Tensor
    scale: Tensor
    gate: Tensor

    def apply(self, normed: Tensor) -> Tensor:
        """Shift and scale normalised features (cells, genes, width)."""
        return torch.addcmul(self.shift, normed, 1 + self.scale)


class Modulation(nn.Module):
    """AdaLN-Zero: shift, scale and gate from the time embedding, all zero at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 3 * width)
        self.width = width

    def zero(self) -> None:
        """Close the gate: the sub-layer adds nothing until it has learnt something."""
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, time: Tensor) -> Shift:
        """Read the time embedding (cells, width)."""
        shift, scale, gate = self.linear(functional.silu(time)).unsqueeze(1).chunk(3, dim=-1)
        return Shift(shift=shift, scale=scale, gate=gate)


class FeedForward(nn.Module):
    """The MLP that follows an attention: width -> ratio * width -> width."""

    def __init__(self, width: int, *, ratio: int = 4, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, ratio * width)
        self.out = nn.Linear(ratio * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Transform features (..., width)."""
        hidden = self.hidden(x)
        if x.device.type == "cpu" and hidden.dtype == self.out.weight.dtype:
            last: Tensor = _GeluLinear.apply(hidden, self.out.weight, self.out.bias)  # type: ignore[no-untyped-call]
        else:  # fused there, or under autocast
            last = self.out(functional.gelu(hidden, approximate="tanh"))
        # Drawing the mask on CPU costs as much as the matrix product: on the narrow side, then.
        out: Tensor = self.dropout(last)
        return out


class _GeluLinear(torch.autograd.Function):
    """A linear layer after a GELU, which is computed again in the backward pass.

    A hundredth of a step's time for an eighth of its memory.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(hidden, weight)
        return functional.linear(functional.gelu(hidden, approximate="tanh"), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden, weight = ctx.saved_tensors
        active = functional.gelu(hidden, approximate="tanh").flatten(0, -2)
        rows = slope.flatten(0, -2)
        of_weight = rows.mT @ active
        of_hidden = torch.ops.aten.gelu_backward(slope @ weight, hidden, approximate="tanh")
        return of_hidden, of_weight, rows.sum(0)


class Injection(nn.Module):
    """MLP([h || e_p]) without the concatenation: W_h h + W_p e_p. Source: scDFM, eq. 10."""

    def __init__(self, width: int, *, out: int | None = None, dropout: float) -> None:
        super().__init__()
        self.from_cell = nn.Linear(width, width)
        self.from_perturbation = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, out or width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, perturbation: Tensor) -> Tensor:
        """Mix cells (cells, genes, width) with their perturbation (cells, 1, width)."""
        hidden = self.from_cell(h) + self.from_perturbation(perturbation)
        out: Tensor = self.out(self.dropout(functional.leaky_relu(hidden, inplace=True)))
        return out


def layer_norm(x: Tensor) -> Tensor:
    """LayerNorm without affine parameters over the last axis."""
    return functional.layer_norm(x, x.shape[-1:], eps=1e-6)
