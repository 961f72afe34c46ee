"""Attention over listed neighbours: each token attends to a few others, and to no more.

Axes: tokens (that ask), everyone (who may be asked), heads, features, edges (one for each pair of
a token and a neighbour).
"""

from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

SCRATCH = 5_000_000  # scores held at once while those of the edges are picked out


class Edges(NamedTuple):
    """Who asks whom, sorted by who asks.

    Attributes:
        starts: Where each token's edges start, then where the last end, (tokens + 1,).
        row: Token that asks, (edges,).
        column: Whom it asks, (edges,).
        order: The edges sorted by whom they ask, (edges,).
        column_starts: Where the edges to each start in that order, then the end, (everyone + 1,).
    """

    starts: Tensor
    row: Tensor
    column: Tensor
    order: Tensor
    column_starts: Tensor

    @classmethod
    def of(cls, tokens: Tensor, *, indptr: Tensor, indices: Tensor) -> Self:
        """Edges of some tokens in a graph held as CSR, (everyone + 1,) and (all edges,)."""
        first = indptr[tokens]
        counts = indptr[tokens + 1] - first
        starts = _running(counts)
        row = torch.repeat_interleave(torch.arange(len(tokens), device=tokens.device), counts)
        within = torch.arange(len(row), device=tokens.device) - starts[row]
        column = indices[first[row] + within]
        return cls(
            starts=starts,
            row=row,
            column=column,
            order=torch.argsort(column, stable=True),
            column_starts=_running(torch.bincount(column, minlength=len(indptr) - 1)),
        )


def neighbour_attention(
    queries: Tensor, keys: Tensor, values: Tensor, *, edges: Edges, dropout: float
) -> Tensor:
    """Softmax attention along the edges.

    Args:
        queries: (tokens, heads, features).
        keys: (everyone, heads, features).
        values: (everyone, heads, features).
        edges: Who asks whom; every token asks at least one.
        dropout: Share of the attention map that is dropped.

    Returns:
        (tokens, heads, features).
    """
    scores: Tensor = _Scores.apply(queries * queries.shape[-1] ** -0.5, keys, edges)  # type: ignore[no-untyped-call]
    tokens = len(queries)
    row = edges.row.expand_as(scores)
    largest = scores.detach().new_full((len(scores), tokens), -torch.inf)
    largest.scatter_reduce_(1, row, scores.detach(), reduce="amax")
    weights = (scores - largest.gather(1, row)).exp()
    total = weights.new_zeros(len(scores), tokens).scatter_add(1, row, weights)
    weights = functional.dropout(weights / total.gather(1, row), dropout, training=dropout > 0)
    seen: Tensor = _Collect.apply(weights, values, edges)  # type: ignore[no-untyped-call]
    return seen


class _Scores(torch.autograd.Function):
    """Products of queries and keys at the edges, (heads, edges)."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, edges: Edges) -> Tensor:
        ctx.save_for_backward(queries, keys)
        ctx.edges = edges
        return _products(queries, keys, edges)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        queries, keys = ctx.saved_tensors
        return _sums(slope, keys, ctx.edges), _sums_back(slope, queries, ctx.edges), None


class _Collect(torch.autograd.Function):
    """Sums of values along the edges, each times its weight, (tokens, heads, features)."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, values: Tensor, edges: Edges) -> Tensor:
        ctx.save_for_backward(weights, values)
        ctx.edges = edges
        return _sums(weights, values, edges)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        weights, values = ctx.saved_tensors
        return _products(slope, values, ctx.edges), _sums_back(weights, slope, ctx.edges), None


def _products(left: Tensor, right: Tensor, edges: Edges) -> Tensor:
    """Dot products of left (tokens, ...) with right (everyone, ...) at the edges, (heads, edges).

    All products of a head are computed and those of the edges kept: a large matrix product is
    faster than so many small ones until fewer than one in a hundred is kept.
    """
    everyone, heads, _ = right.shape
    rows = max(1, SCRATCH // everyone)
    products = left.new_empty(heads, len(edges.row))
    for first in range(0, len(left), rows):
        last = min(first + rows, len(left))
        start, stop = int(edges.starts[first]), int(edges.starts[last])
        place = (edges.row[start:stop] - first) * everyone + edges.column[start:stop]
        for head in range(heads):
            scores = left[first:last, head] @ right[:, head].T
            torch.index_select(scores.view(-1), 0, place, out=products[head, start:stop])
    return products


def _sums(weights: Tensor, values: Tensor, edges: Edges) -> Tensor:
    """Weighted sums over each token's edges, (tokens, heads, features)."""
    return _bags(weights, values, column=edges.column, starts=edges.starts)


def _sums_back(weights: Tensor, values: Tensor, edges: Edges) -> Tensor:
    """Weighted sums over the edges that ask each of everyone, (everyone, heads, features)."""
    order = edges.order
    return _bags(weights[:, order], values, column=edges.row[order], starts=edges.column_starts)


def _bags(weights: Tensor, values: Tensor, *, column: Tensor, starts: Tensor) -> Tensor:
    """Sum values (rows, heads, features) in runs of edges: all heads in one call."""
    heads = torch.arange(len(weights), device=weights.device)[:, None]
    bags = functional.embedding_bag(
        (column + heads * len(values)).flatten(),
        values.transpose(0, 1).reshape(-1, values.shape[-1]),
        (starts[:-1] + heads * len(column)).flatten(),
        mode="sum",
        per_sample_weights=weights.flatten(),
    )
    return bags.view(len(weights), len(starts) - 1, -1).transpose(0, 1)


def _running(counts: Tensor) -> Tensor:
    """Sums before each, and the sum of all: (n + 1,) from (n,)."""
    return functional.pad(counts.cumsum(0), (1, 0))
