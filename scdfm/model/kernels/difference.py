"""The difference of two softmax maps on CPU, in pieces that stay in the processor's cache.

A1 V - lam A2 V = (A1 - lam A2) V, so V is multiplied once, and the slope of the result with respect
to either map is one product, too. With the maps computed again in the backward pass that is 11
matrix products where two calls of the fused kernel need 14, and no map is ever held whole.

Axes: maps (one for each cell and head), genes (that ask, and that are asked), features.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

PIECE = 512 * 1024  # elements of a map computed at once: 2 MiB in float32
FEATURES = 16  # from so many on it is faster than the fused kernel


def suits(queries: Tensor, values: Tensor) -> bool:
    """Whether `map_difference` is the fastest way for (cells, heads, genes, features)."""
    return (
        queries.device.type == "cpu"
        and queries.numel() > 0
        and (*queries.shape[:2], queries.shape[-1]) == (*values.shape[:2], values.shape[-1])
        and queries.dtype in (torch.float32, torch.float64)
        and queries.shape[-1] >= FEATURES
        and not torch.compiler.is_compiling()
    )


def map_difference(
    queries: tuple[Tensor, Tensor], keys: tuple[Tensor, Tensor], values: Tensor, *, lam: Tensor
) -> Tensor:
    """Softmax(Q1 K1^T) V - lam Softmax(Q2 K2^T) V, with products divided by sqrt(features).

    Args:
        queries: Of the two maps, each (cells, heads, genes, features).
        keys: Of the two maps, each (cells, heads, genes asked, features).
        values: (cells, heads, genes asked, features).
        lam: Weight of the second map, a scalar.

    Returns:
        (cells, heads, genes, features).

    Raises:
        ValueError: Cells, heads or features differ.

    Source: scDFM, eqs. 8-9.
    """
    maps, features = values.shape[:2], values.shape[-1]
    for x in (*queries, *keys):
        if x.shape[:2] != maps or x.shape[-1] != features:
            raise ValueError(
                "queries, keys and values must have the same cells, heads and features, got "
                f"{tuple(x.shape)} and {tuple(values.shape)}"
            )
    scale = features**-0.5
    flat = [x.flatten(0, 1) for x in (scale * queries[0], keys[0], scale * queries[1], keys[1])]
    difference: Tensor = _Difference.apply(*flat, values.flatten(0, 1), lam)  # type: ignore[no-untyped-call]
    return difference.view(queries[0].shape)


class _Piece(NamedTuple):
    """Some maps and some of the genes that ask."""

    maps: slice
    genes: slice

    def take(self, buffer: Tensor, *, asked: int) -> Tensor:
        """Room for the piece, (maps, genes, genes asked)."""
        shape = (self.maps.stop - self.maps.start, self.genes.stop - self.genes.start, asked)
        return buffer[: shape[0] * shape[1] * asked].view(shape)


def _pieces(maps: int, *, genes: int, asked: int) -> Iterator[_Piece]:
    """Several whole maps where they are small, even parts of one where they are large."""
    together = max(1, PIECE // (genes * asked))
    parts = -(-genes * asked // PIECE) if together == 1 else 1
    rows = -(-genes // parts)
    for first in range(0, maps, together):
        for gene in range(0, genes, rows):
            yield _Piece(
                slice(first, min(maps, first + together)), slice(gene, min(genes, gene + rows))
            )


def _room(buffers: int, *, like: Tensor, genes: int, asked: int) -> Tensor:
    maps = len(like)
    largest = max(
        (p.maps.stop - p.maps.start) * (p.genes.stop - p.genes.start)
        for p in _pieces(maps, genes=genes, asked=asked)
    )
    return like.new_empty(buffers, largest * asked)


def _softmax_map(queries: Tensor, keys: Tensor, *, out: Tensor) -> Tensor:
    torch.bmm(queries, keys.mT, out=out)
    return torch.softmax(out, dim=-1, out=out)


class _Difference(torch.autograd.Function):
    """Of maps one after the other: (maps, genes, features)."""

    @staticmethod
    def forward(
        ctx: Any,
        query1: Tensor,
        key1: Tensor,
        query2: Tensor,
        key2: Tensor,
        values: Tensor,
        lam: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(query1, key1, query2, key2, values, lam)
        weight, genes, asked = float(lam), query1.shape[1], values.shape[1]
        result = torch.empty_like(query1, memory_format=torch.contiguous_format)
        room = _room(2, like=values, genes=genes, asked=asked)
        for piece in _pieces(len(values), genes=genes, asked=asked):
            maps, some = piece
            first, second = (piece.take(buffer, asked=asked) for buffer in room)
            _softmax_map(query1[maps, some], key1[maps], out=first)
            _softmax_map(query2[maps, some], key2[maps], out=second)
            torch.bmm(first.sub_(second, alpha=weight), values[maps], out=result[maps, some])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, ...]:
        query1, key1, query2, key2, values, lam = ctx.saved_tensors
        weight, genes, asked = float(lam), query1.shape[1], values.shape[1]
        slope = slope.contiguous()
        slopes = [torch.zeros_like(x) for x in (query1, key1, query2, key2, values)]
        of_query1, of_key1, of_query2, of_key2, of_values = slopes
        of_lam = torch.zeros_like(lam)
        room = _room(4, like=values, genes=genes, asked=asked)
        for piece in _pieces(len(values), genes=genes, asked=asked):
            maps, some = piece
            first, second, of_map, of_score = (piece.take(buffer, asked=asked) for buffer in room)
            _softmax_map(query1[maps, some], key1[maps], out=first)
            _softmax_map(query2[maps, some], key2[maps], out=second)
            # The slope of the first map; that of the second is -lam times it, at the very end.
            torch.bmm(slope[maps, some], values[maps].mT, out=of_map)
            _softmax_slope(of_map, first, out=of_score)
            torch.bmm(of_score, key1[maps], out=of_query1[maps, some])
            of_key1[maps].baddbmm_(of_score.mT, query1[maps, some])
            _softmax_slope(of_map, second, out=of_score)
            torch.bmm(of_score, key2[maps], out=of_query2[maps, some])
            of_key2[maps].baddbmm_(of_score.mT, query2[maps, some])
            # torch.dot is six times slower here than a product and its sum.
            of_lam -= torch.mul(of_map, second, out=of_score).sum()
            of_values[maps].baddbmm_(first.sub_(second, alpha=weight).mT, slope[maps, some])
        of_query2.mul_(-weight)
        of_key2.mul_(-weight)
        return (*slopes, of_lam)


def _softmax_slope(of_map: Tensor, softmax_map: Tensor, *, out: Tensor) -> None:
    torch.ops.aten._softmax_backward_data.out(
        of_map, softmax_map, -1, softmax_map.dtype, grad_input=out
    )
