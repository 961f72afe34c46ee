"""Attention over the genes of a cell: differential (the paper's) and standard (its ablation).

A1 V - lam (A2 V) needs two calls of the fused kernel and never holds a (cells, heads, genes, genes)
tensor, except where that tensor is small and the plain kernel is faster. On CPU
`scdfm.model.kernels.difference` is mostly faster than both.
"""

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from scdfm.model.kernels.difference import map_difference, suits
from scdfm.model.precision import wide

# On CPU the fused kernel's backward pass is 2.5-4 times slower than the plain one up to 128 genes,
# and equal at about 240 (measured with 48 cells, 64 features); forward alone it wins from 200 on.
PLAIN_UP_TO = 192


class Memory(NamedTuple):
    """Keys and values of what is attended to, ready for the kernel.

    Attributes:
        keys: One tensor for each softmax map, (cells, heads, genes, features).
        values: (cells, heads, genes, features).
    """

    keys: tuple[Tensor, ...]
    values: Tensor


class Attention(Protocol):
    """What a block needs of an attention: memory can be built once and used many times."""

    def remember(self, y: Tensor) -> Memory:
        """Keys and values of y, (cells, genes, width)."""

    def __call__(self, x: Tensor, memory: Memory) -> Tensor:
        """Attend from x, (cells, genes, width), to the memory."""


class DifferentialAttention(nn.Module):
    """Difference of two softmax maps over one set of values, RMS-normalised per head.

    Source: scDFM, eqs. 8-9; Ye et al. 2025, Differential Transformer.
    """

    def __init__(self, width: int, *, heads: int, depth: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, 2 * width, bias=False)
        self.key = nn.Linear(width, 2 * width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.lam_start = 0.8 - 0.6 * math.exp(-0.3 * depth)
        # Rows: query 1, key 1, query 2, key 2.
        self.lam_factors = nn.Parameter(0.1 * torch.randn(4, width // heads))
        self.norm = nn.RMSNorm(width // heads, eps=1e-5)

    def lam(self) -> Tensor:
        """Weight of the second map, a scalar."""
        query1, key1, query2, key2 = self.lam_factors
        # Not `@`, which autocast would round: an error here scales the whole second map.
        first, second = (query1 * key1).sum(), (query2 * key2).sum()
        lam: Tensor = first.exp() - second.exp() + self.lam_start
        return lam

    def remember(self, y: Tensor) -> Memory:
        """Keys and values of y, (cells, genes, width)."""
        key1, key2 = self.key(y).chunk(2, dim=-1)
        return Memory(
            keys=(split_heads(key1, self.heads), split_heads(key2, self.heads)),
            values=split_heads(self.value(y), self.heads),
        )

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """Attend from x, (cells, genes, width), to the memory."""
        query1, query2 = self.query(x).chunk(2, dim=-1)
        queries = split_heads(query1, self.heads), split_heads(query2, self.heads)
        key1, key2 = memory.keys
        heads = attend_less(queries, (key1, key2), memory.values, lam=self.lam())
        out: Tensor = self.out(join_heads(self.norm(heads) * (1 - self.lam_start)))
        return out


class StandardAttention(nn.Module):
    """One softmax map: the paper's ablation of the difference."""

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def remember(self, y: Tensor) -> Memory:
        """Keys and values of y, (cells, genes, width)."""
        return Memory(
            keys=(split_heads(self.key(y), self.heads),),
            values=split_heads(self.value(y), self.heads),
        )

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """Attend from x, (cells, genes, width), to the memory."""
        heads = attend(split_heads(self.query(x), self.heads), memory.keys[0], memory.values)
        out: Tensor = self.out(join_heads(heads))
        return out


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Softmax attention, each (cells, heads, genes, features), by the faster kernel."""
    if queries.device.type == "cpu" and keys.shape[-2] <= PLAIN_UP_TO:
        with sdpa_kernel(SDPBackend.MATH):
            return functional.scaled_dot_product_attention(queries, keys, values)
    return functional.scaled_dot_product_attention(queries, keys, values)


def attend_less(
    queries: tuple[Tensor, Tensor], keys: tuple[Tensor, Tensor], values: Tensor, *, lam: Tensor
) -> Tensor:
    """A1 V - lam A2 V, (cells, heads, genes, features), in float32 or wider.

    Args:
        queries: Of the two maps, each (cells, heads, genes, features).
        keys: Likewise.
        values: Of both, likewise.
        lam: Weight of the second map, a scalar.
    """
    if suits(queries[0], values):
        return map_difference(queries, keys, values, lam=lam)
    first, second = (attend(q, k, values) for q, k in zip(queries, keys, strict=True))
    return wide(first) - lam * wide(second)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Turn (cells, genes, width) into (cells, heads, genes, features)."""
    return x.view(*x.shape[:-1], heads, -1).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """Turn (cells, heads, genes, features) into (cells, genes, width)."""
    return x.transpose(1, 2).flatten(2)
