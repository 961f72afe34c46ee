"""Facts of attention along edges: the same as a masked map, at the cost of the edges only."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from scdfm.gene_graph.correlation import pearson_graph
from scdfm.gene_graph.graph import GeneGraph
from scdfm.model.gene_encoder import GeneEncoder
from scdfm.model.kernels import neighbourhood
from scdfm.model.kernels.neighbourhood import Edges, neighbour_attention

EVERYONE, TOKENS, HEADS, FEATURES = 12, 5, 2, 3


@pytest.fixture
def graph() -> GeneGraph:
    cells = torch.rand(40, EVERYONE, generator=torch.Generator().manual_seed(0)).numpy()
    return pearson_graph([cells], genes=EVERYONE, k=3)


@pytest.fixture
def tokens() -> Tensor:
    return torch.tensor([7, 0, 11, 7, 3])  # in no order, one twice


@pytest.fixture
def edges(graph: GeneGraph, tokens: Tensor) -> Edges:
    return Edges.of(
        tokens, indptr=torch.from_numpy(graph.indptr), indices=torch.from_numpy(graph.indices)
    )


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    sizes = (TOKENS, EVERYONE, EVERYONE)
    queries, keys, values = (
        torch.randn(size, HEADS, FEATURES, dtype=torch.float64, requires_grad=True)
        for size in sizes
    )
    return queries, keys, values


def masked(inputs: tuple[Tensor, Tensor, Tensor], edges: Edges) -> Tensor:
    """The same by a map over everyone."""
    allowed = torch.zeros(TOKENS, EVERYONE, dtype=torch.bool)
    allowed[edges.row, edges.column] = True
    queries, keys, values = (x.transpose(0, 1) for x in inputs)
    return scaled_dot_product_attention(queries, keys, values, attn_mask=allowed).transpose(0, 1)


def test_it_equals_a_masked_map(inputs: tuple[Tensor, Tensor, Tensor], edges: Edges) -> None:
    seen = neighbour_attention(*inputs, edges=edges, dropout=0.0)
    torch.testing.assert_close(seen, masked(inputs, edges))


def test_its_gradients_equal_those_of_a_masked_map(
    inputs: tuple[Tensor, Tensor, Tensor], edges: Edges
) -> None:
    seen = neighbour_attention(*inputs, edges=edges, dropout=0.0)
    slope = torch.randn_like(seen)
    ours = torch.autograd.grad(seen, inputs, slope)
    theirs = torch.autograd.grad(masked(inputs, edges), inputs, slope)
    torch.testing.assert_close(ours, theirs)


def test_scores_may_come_in_pieces(
    inputs: tuple[Tensor, Tensor, Tensor], edges: Edges, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = neighbour_attention(*inputs, edges=edges, dropout=0.0)
    monkeypatch.setattr(neighbourhood, "SCRATCH", 2 * EVERYONE)
    torch.testing.assert_close(neighbour_attention(*inputs, edges=edges, dropout=0.0), whole)


def test_large_scores_do_not_overflow(inputs: tuple[Tensor, Tensor, Tensor], edges: Edges) -> None:
    queries, keys, values = inputs
    assert (
        neighbour_attention(1e4 * queries, keys, values, edges=edges, dropout=0.0).isfinite().all()
    )


def test_dropout_keeps_the_mean(inputs: tuple[Tensor, Tensor, Tensor], edges: Edges) -> None:
    torch.manual_seed(2)
    ones = torch.ones_like(inputs[2])
    draws = [
        neighbour_attention(inputs[0], inputs[1], ones, edges=edges, dropout=0.3)
        for _ in range(400)
    ]
    drawn = torch.stack(draws).detach()
    assert float((drawn.mean(0) - 1).abs().max()) < 0.15
    assert float(drawn.std(0).min()) > 0.05


def test_the_gene_encoder_gives_the_same_either_way(
    graph: GeneGraph, tokens: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = GeneEncoder(EVERYONE + 2, 8, heads=2, dropout=0.1, graph=graph).eval()
    dense = encoder(tokens)
    monkeypatch.setattr("scdfm.model.gene_encoder.DENSE_UP_TO", 0)
    torch.testing.assert_close(encoder(tokens), dense)
