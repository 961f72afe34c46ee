"""A velocity in the span of principal components, plus a gated rest.

Axes: cells, genes (of a step), model genes, rank.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

# Relative to the mean square of a component over the step's genes. Few genes of a step can make
# components alike; then the smaller part is taken for nothing, not divided by nearly zero.
RIDGE = 1e-4


class Span(NamedTuple):
    """The components over a step's genes: the projection on their span is `basis basis^T`."""

    basis: Tensor  # (genes, rank)


class LowRank(nn.Module):
    """v = P u + g (u - P u): P projects on the span of components, the gate g starts at zero.

    A mean change that lies in few directions is then learnt with less noise, as decoding from
    principal components does; the gate lets through what they lack.

    The components are facts of the training cells: they are given before the first step, kept
    with the weights, and never learnt.
    """

    components: Tensor  # (model genes, rank); zero where there are fewer

    def __init__(self, genes: int, *, rank: int) -> None:
        super().__init__()
        self.register_buffer("components", torch.zeros(genes, rank))
        self.gate = nn.Parameter(torch.zeros(()))

    def span(self, genes: Tensor) -> Span:
        """Components of a step's genes, by gene id (genes,)."""
        with torch.no_grad(), torch.autocast(genes.device.type, enabled=False):
            some = self.components[genes].double()
            products = some.mT @ some
            ridge = (RIDGE * products.diagonal().mean()).clamp_min(torch.finfo(some.dtype).tiny)
            products.diagonal().add_(ridge)
            factor = torch.linalg.cholesky(products)
            basis = torch.linalg.solve_triangular(factor, some.mT, upper=False).mT
            return Span(basis.to(self.components.dtype).contiguous())

    def forward(self, velocity: Tensor, span: Span) -> Tensor:
        """Limit a velocity (cells, genes) to the span, up to the gate."""
        with torch.autocast(velocity.device.type, enabled=False):
            velocity = velocity.to(span.basis.dtype)
            inside = velocity @ span.basis @ span.basis.mT
            return torch.lerp(inside, velocity, self.gate)
