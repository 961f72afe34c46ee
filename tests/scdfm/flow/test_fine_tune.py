"""Facts of a field that starts from another one's weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from scdfm.flow.fine_tune import match, start_from
from scdfm.gene_graph.graph import GeneGraph, none_graph
from scdfm.model.paper import ModelConfig, VelocityField, build_field
from scdfm.model.vocabulary import Vocabulary
from tests.scdfm import small

VARIANTS = pytest.mark.parametrize("variant", ["paper", "release"])


def fresh(
    vocabulary: Vocabulary, graph: GeneGraph, *, like: VelocityField, seed: int = 9
) -> VelocityField:
    torch.manual_seed(seed)
    made = build_field(like.config, vocabulary=vocabulary, graph=graph)
    return made.double().eval()


def trained(*, kind: str = "gene", variant: str = "paper") -> VelocityField:
    """A field with every weight away from its start."""
    width = 16 if variant == "paper" else 32
    made = small.awake(small.field(kind=kind, variant=variant, width=width))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made


def velocity(
    field: VelocityField, genes: tuple[str, ...], conditions: list[tuple[str, ...]]
) -> Tensor:
    """Of four cells, with the genes and conditions named."""
    draw = torch.Generator().manual_seed(4)
    x, control = (
        torch.rand(4, len(small.NAMES), generator=draw, dtype=torch.float64)[
            :, [small.NAMES.index(gene) for gene in genes]
        ]
        for _ in range(2)
    )
    with torch.no_grad():
        answer: Tensor = field(
            x,
            torch.linspace(0, 1, 4, dtype=torch.float64),
            control=control,
            genes=torch.tensor([field.vocabulary.genes.index(gene) for gene in genes]),
            conditions=torch.tensor(field.vocabulary.table(conditions)),
            unit_of_cell=torch.tensor([0, 1, 0, 1]),
        )
    return answer


def permuted(graph: GeneGraph, order: list[int]) -> GeneGraph:
    dense = np.zeros((graph.tokens, graph.tokens), dtype=bool)
    dense[np.repeat(np.arange(graph.tokens), graph.degrees), graph.indices] = True
    dense = dense[np.ix_(order, order)]
    return GeneGraph(
        indptr=np.concatenate([[0], dense.sum(axis=1).cumsum()]), indices=np.nonzero(dense)[1]
    )


@VARIANTS
@pytest.mark.parametrize("kind", ["gene", "drug"])
def test_the_same_tokens_give_the_same_velocity_to_the_bit(kind: str, variant: str) -> None:
    source = trained(kind=kind, variant=variant)
    field = fresh(source.vocabulary, small.graph(), like=source)
    field.start_at_rest()
    asked = [("G1", "G3"), ("X",)] if kind == "gene" else [("aspirin",), ("sorafenib",)]
    before = velocity(field, small.NAMES, asked)
    found = start_from(field, source=source)
    assert found == match(source.vocabulary, source=source.vocabulary)
    assert (found.new, found.left) == ((), 0)
    assert not torch.equal(before, velocity(source, small.NAMES, asked))
    assert torch.equal(velocity(field, small.NAMES, asked), velocity(source, small.NAMES, asked))


@VARIANTS
def test_genes_in_another_order_give_the_same_velocity_gene_by_gene(variant: str) -> None:
    source = trained(variant=variant)
    order = [3, 0, 6, 2, 5, 1, 4]
    names = tuple(small.NAMES[k] for k in order)
    other = fresh(
        replace(source.vocabulary, genes=names), permuted(small.graph(), order), like=source
    )
    start_from(other, source=source)
    asked = [("G1", "G3"), ("X",)]
    torch.testing.assert_close(
        velocity(other, small.NAMES, asked), velocity(source, small.NAMES, asked)
    )


def test_a_gene_keeps_its_meaning_whether_it_is_measured_or_not() -> None:
    source = trained()  # X is perturbed, not measured
    vocabulary = Vocabulary(genes=("X", "G1"), perturbations=("G0", "G3", "NEW"))
    field = fresh(vocabulary, none_graph(2), like=source)
    first = field.gene_encoder.embedding.weight.detach().clone()
    found = start_from(field, source=source)
    mine, theirs = (one.gene_encoder.embedding.weight for one in (field, source))
    # Ours: X, G1, null, G0, G3, NEW; theirs: G0 to G6, null, X.
    assert torch.equal(mine[:5], theirs[[8, 1, 7, 0, 3]])
    assert torch.equal(mine[5], first[5])
    assert (found.matched, found.new, found.left) == (4, ("NEW",), 4)


def test_drugs_are_matched_by_name_and_new_ones_keep_their_first_weights() -> None:
    source = trained(kind="drug")
    vocabulary = Vocabulary(
        genes=small.NAMES, perturbations=("a new one", "sorafenib"), kind="drug"
    )
    field = fresh(vocabulary, small.graph(), like=source)
    assert field.drugs is not None
    assert source.drugs is not None
    first = field.drugs.weight.detach().clone()
    found = start_from(field, source=source)
    assert torch.equal(field.drugs.weight[[0, 2]], source.drugs.weight[[0, 2]])
    assert torch.equal(field.drugs.weight[1], first[1])
    assert (found.new, found.left) == (("a new one",), 1)


def test_a_drug_that_is_called_like_a_gene_is_no_gene() -> None:
    one = Vocabulary(genes=("A",), perturbations=("D",), kind="drug")
    other = Vocabulary(genes=("D",), perturbations=("A",), kind="drug")
    assert match(one, source=other) == (0, ("A", "D"), 2)


def test_genes_are_not_started_from_drugs() -> None:
    source = trained(kind="drug")
    field = fresh(small.vocabulary(), small.graph(), like=source)
    with pytest.raises(ValueError, match="perturbations are drugs there and genes here"):
        start_from(field, source=source)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"width": 32}, "model.width is 16 there and 32 here; set model.width: 16"),
        ({"layers": 1}, "model.layers is 2 there and 1 here"),
        ({"heads": 4}, "model.heads is 2 there and 4 here"),
        ({"attention": "standard"}, "model.attention is differential there and standard here"),
        ({"mlp": False}, "model.mlp is true there and false here; set model.mlp: true"),
        ({"pooling": "sum"}, "model.pooling is mean there and sum here; set model.pooling: mean"),
        ({"rank": 2}, "model.rank is null there and 2 here; set model.rank: null"),
        ({"token_dropout": 0.1}, "model.token_dropout is 0.0 there and 0.1 here"),
        ({"base_channel": True}, "model.base_channel is false there and true here"),
        ({"variant": "release"}, "model.variant is paper there and release here"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_size_is_refused_by_the_setting(setting: dict[str, object], said: str) -> None:
    config = ModelConfig.model_validate(
        {"width": 16, "layers": 2, "heads": 2, "dropout": 0.0} | setting
    )
    field = build_field(config, vocabulary=small.vocabulary(), graph=small.graph())
    with pytest.raises(ValueError, match=said):
        start_from(field, source=small.field())


def test_heads_left_out_are_those_of_the_width() -> None:
    field = build_field(
        ModelConfig(width=16, layers=2), vocabulary=small.vocabulary(), graph=small.graph()
    )
    start_from(field.double(), source=small.field(heads=1))
