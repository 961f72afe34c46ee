"""Facts of the velocity field, on a field of seven genes in float64."""

import pytest
import torch
from torch import Tensor

from scdfm.model.attention import DifferentialAttention, StandardAttention
from scdfm.model.paper import ModelConfig, SubLayer, VelocityField, build_field
from tests.scdfm import small


def velocity(
    made: VelocityField, *, genes: Tensor | None = None, condition: tuple[str, ...] = ("G1",)
) -> Tensor:
    step = small.cells(units=(condition,))
    genes = step.genes if genes is None else genes
    t = torch.linspace(0, 1, len(step.target), dtype=torch.float64)
    return made(
        step.target[:, genes],
        t,
        control=step.control[:, genes],
        genes=genes,
        conditions=step.conditions,
        unit_of_cell=step.unit_of_cell,
    )


@pytest.mark.parametrize("attention", ["differential", "standard"])
@pytest.mark.parametrize("mlp", [True, False])
def test_permuting_genes_permutes_the_velocity(attention: str, mlp: bool) -> None:
    made = small.awake(small.field(attention=attention, mlp=mlp))
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    torch.testing.assert_close(velocity(made, genes=order), velocity(made)[:, order])


def test_the_order_of_a_double_does_not_matter() -> None:
    made = small.awake(small.field())
    step = small.cells(units=(("G1", "G3"),))
    swapped = step.conditions.flip(1)
    assert not torch.equal(step.conditions, swapped)
    _, one = made.encode(step.genes, step.conditions)
    _, other = made.encode(step.genes, swapped)
    torch.testing.assert_close(one, other)


def test_a_single_is_the_mean_of_its_token_and_null() -> None:
    made = small.field()
    null = made.vocabulary.null
    genes = torch.arange(small.GENES)
    _, both = made.encode(genes, torch.tensor([[1, null]]))
    _, token = made.encode(genes, torch.tensor([[1]]))
    _, nothing = made.encode(genes, torch.tensor([[null]]))
    torch.testing.assert_close(both, (token + nothing) / 2)


def test_empty_slots_do_not_count() -> None:
    made = small.field()
    genes = torch.arange(small.GENES)
    _, two = made.encode(genes, torch.tensor([[1, 3]]))
    _, padded = made.encode(genes, torch.tensor([[1, 3, -1]]))
    torch.testing.assert_close(two, padded)


@pytest.mark.parametrize("kind", ["gene", "drug"])
def test_the_perturbation_alone_changes_the_velocity(kind: str) -> None:
    made = small.awake(small.field(kind=kind))
    names = made.vocabulary.perturbations
    step = small.cells(units=(("G1",),))
    t = torch.full((len(step.target),), 0.5, dtype=torch.float64)

    def under(name: str) -> Tensor:
        return made(
            step.target,
            t,
            control=step.control,
            genes=step.genes,
            conditions=torch.tensor([made.vocabulary.ids((name,))]),
            unit_of_cell=step.unit_of_cell,
        )

    assert (under(names[0]) - under(names[1])).abs().max() > 1e-4


@pytest.mark.parametrize("mlp", [True, False])
def test_closed_gates_leave_the_residual_stream_alone(mlp: bool) -> None:
    config = ModelConfig(width=16, heads=2, mlp=mlp)
    layer = SubLayer(config, depth=0)
    layer.modulation.zero()
    if layer.mlp_modulation is not None:
        layer.mlp_modulation.zero()
    h, time = torch.randn(2, 5, 16), torch.randn(2, 16)
    torch.testing.assert_close(layer(h, time), h)


def test_gates_start_closed() -> None:
    gates = [p for n, p in small.field().named_parameters() if "modulation" in n]
    assert gates
    assert all(not gate.any() for gate in gates)


def test_a_field_at_rest_has_no_velocity() -> None:
    made = small.field()
    made.start_at_rest()
    assert not velocity(made).any()


def test_every_parameter_learns() -> None:
    made = small.awake(small.field())
    velocity(made, condition=("G1", "X")).square().sum().backward()
    silent = [name for name, p in made.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_control_cells_matter_through_the_cross_attention() -> None:
    made = small.awake(small.field())
    step = small.cells(units=(("G1",),))
    t = torch.full((len(step.target),), 0.5, dtype=torch.float64)
    rest = {"genes": step.genes, "conditions": step.conditions, "unit_of_cell": step.unit_of_cell}
    with_control = made(step.target, t, control=step.control, **rest)
    without = made(step.target, t, control=torch.zeros_like(step.control), **rest)
    assert (with_control - without).abs().max() > 1e-5


def test_differential_attention_is_the_difference_of_two_softmax_maps() -> None:
    torch.manual_seed(0)
    layer = DifferentialAttention(8, heads=2, depth=1).double()
    x, y = torch.randn(2, 3, 5, 8, dtype=torch.float64)
    query, key, value = layer.query(x), layer.key(y), layer.value(y)
    heads = []
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        maps = [
            (query[..., 8 * k :][..., part] @ key[..., 8 * k :][..., part].mT / 2).softmax(dim=-1)
            for k in range(2)
        ]
        mixed = (maps[0] - layer.lam() * maps[1]) @ value[..., part]
        heads.append(layer.norm(mixed) * (1 - layer.lam_start))
    expected = layer.out(torch.cat(heads, dim=-1))
    torch.testing.assert_close(layer(x, layer.remember(y)), expected)


def test_plain_and_fused_kernels_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = StandardAttention(32, heads=2)
    x = torch.randn(2, 9, 32)
    plain = layer(x, layer.remember(x))
    monkeypatch.setattr("scdfm.model.attention.PLAIN_UP_TO", 0)
    torch.testing.assert_close(layer(x, layer.remember(x)), plain)


def test_a_gene_sees_its_neighbours_and_no_other() -> None:
    made, graph = small.field(), small.graph()
    encoder = made.gene_encoder
    seen = encoder.neighbours(torch.arange(made.vocabulary.gene_tokens))
    for gene in range(small.GENES):
        expected = graph.indices[graph.indptr[gene] : graph.indptr[gene + 1]].tolist()
        assert seen[gene].nonzero().flatten().tolist() == expected
    for alone in range(small.GENES, made.vocabulary.gene_tokens):
        assert seen[alone].nonzero().flatten().tolist() == [alone]


def test_without_a_graph_there_is_no_mask() -> None:
    from scdfm.gene_graph.graph import none_graph

    made = build_field(
        ModelConfig(width=16, layers=1, heads=2),
        vocabulary=small.vocabulary(),
        graph=none_graph(small.GENES),
    )
    assert made.gene_encoder.everyone
    assert len(made.gene_encoder.indices) == 0
    assert made.gene_encoder(torch.arange(3)).shape == (3, 16)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads must divide width, got width=10, heads=4"):
        ModelConfig(width=10, heads=4)


def test_a_graph_of_other_genes_is_refused() -> None:
    from scdfm.gene_graph.graph import none_graph

    with pytest.raises(ValueError, match="one row for each of the model's 7 genes, got 5"):
        build_field(ModelConfig(width=16), vocabulary=small.vocabulary(), graph=none_graph(5))


@pytest.mark.parametrize(
    ("width", "heads"), [(512, 8), (96, 1), (130, 2), (200, 2), (129, 1), (16, 1)]
)
def test_heads_left_out_divide_any_width(width: int, heads: int) -> None:
    assert ModelConfig(width=width).head_count == heads
