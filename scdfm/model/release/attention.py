"""The release's two differential attentions, which differ in their queries and keys.

Both take their values from the normed cell. Axes: cells, heads, genes, features; width = heads
times features.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from scdfm.model.attention import attend_less, join_heads, split_heads


class ControlMap(NamedTuple):
    """What one softmax map over the control cell needs; it does not depend on x_t.

    Attributes:
        queries: (cells, heads, genes, features).
        keys: (cells, heads, genes, features).
    """

    queries: Tensor
    keys: Tensor


class Difference(nn.Module):
    """What both attentions share: the projections, lam, the norm per head, the way out."""

    def __init__(self, width: int, *, heads: int, depth: int) -> None:
        super().__init__()
        self.heads = heads
        self.from_normed = nn.Linear(width, 3 * width, bias=False)
        self.from_other = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.lam_start = 0.8 - 0.6 * math.exp(-0.3 * depth)
        # End to end: query 1, key 1, query 2, key 2.
        self.lam_factors = nn.Parameter(0.1 * torch.randn(4 * (width // heads)))
        self.norm = nn.RMSNorm(width // heads, eps=1e-5)

    def initialise(self) -> None:
        """Draw each projection for its own size, not for that of the fused matrix."""
        for fused in (self.from_normed, self.from_other):
            for weight in fused.weight.chunk(fused.out_features // fused.in_features):
                nn.init.xavier_uniform_(weight)

    def lam(self) -> Tensor:
        """Weight of the second map, a scalar."""
        query1, key1, query2, key2 = self.lam_factors.chunk(4)
        # Not `@`, which autocast would round: an error here scales the whole second map.
        map1, map2 = (query1 * key1).sum(), (query2 * key2).sum()
        lam: Tensor = map1.exp() - map2.exp() + self.lam_start
        return lam

    def cut(self, projected: Tensor, *, parts: int) -> list[Tensor]:
        """Separate fused projections and their heads."""
        return [split_heads(part, self.heads) for part in projected.chunk(parts, dim=-1)]

    def subtract(
        self, queries: tuple[Tensor, Tensor], keys: tuple[Tensor, Tensor], values: Tensor
    ) -> Tensor:
        """What the first map gathers less what the second does, as (cells, genes, width)."""
        heads = attend_less(queries, keys, values, lam=self.lam())
        out: Tensor = self.out(join_heads(self.norm(heads) * (1 - self.lam_start)))
        return out


class OwnAttention(Difference):
    """Both maps ask from the normed cell and look at the cell as it was before the norm."""

    def forward(self, normed: Tensor, cell: Tensor) -> Tensor:
        """Attend from normed to cell, both (cells, genes, width)."""
        query1, query2, values = self.cut(self.from_normed(normed), parts=3)
        key1, key2 = self.cut(self.from_other(cell), parts=2)
        return self.subtract((query1, query2), (key1, key2), values)


class CrossAttention(Difference):
    """The first map is the normed cell with itself, the second the control cell with itself."""

    def remember(self, control: Tensor) -> ControlMap:
        """Prepare the second map from the control cells, (cells, genes, width)."""
        queries, keys = self.cut(self.from_other(control), parts=2)
        return ControlMap(queries=queries, keys=keys)

    def forward(self, normed: Tensor, control: ControlMap) -> Tensor:
        """Attend within normed, (cells, genes, width), less the way the control cell attends."""
        query, key, values = self.cut(self.from_normed(normed), parts=3)
        return self.subtract((query, control.queries), (key, control.keys), values)
