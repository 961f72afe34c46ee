"""Facts about the gene graph."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from scdfm.gene_graph import correlation, spearman
from scdfm.gene_graph.config import GraphConfig
from scdfm.gene_graph.correlation import pearson_graph
from scdfm.gene_graph.edges import edges_graph
from scdfm.gene_graph.graph import GeneGraph, none_graph
from scdfm.gene_graph.spearman import spearman_graph


def expression(cells: int = 60, genes: int = 12, *, seed: int = 0) -> NDArray[np.float32]:
    draw = np.random.default_rng(seed)
    programme = draw.normal(size=(cells, 3)) @ draw.normal(size=(3, genes))
    cells_by_genes = np.log1p(np.exp(programme + draw.normal(size=(cells, genes))))
    return np.asarray(cells_by_genes, dtype=np.float32)


def neighbours(graph: GeneGraph) -> list[set[int]]:
    if graph.complete:
        return [set(range(graph.tokens))] * graph.tokens
    return [
        set(graph.indices[a:b].tolist())
        for a, b in zip(graph.indptr, graph.indptr[1:], strict=False)
    ]


def by_definition(cells: NDArray[np.float32], *, k: int, positive: bool) -> list[set[int]]:
    return nearest(np.corrcoef(cells.astype(np.float64), rowvar=False), k=k, positive=positive)


def nearest(r: NDArray[np.float64], *, k: int, positive: bool) -> list[set[int]]:
    r = r if positive else np.abs(r)
    np.fill_diagonal(r, -np.inf)
    sets = [{i} for i in range(len(r))]
    for i, row in enumerate(r):
        for j in np.argsort(-row)[:k]:
            if row[j] > (0 if positive else -1):
                sets[i].add(int(j))
                sets[int(j)].add(i)
    return sets


@pytest.mark.parametrize("positive", [False, True])
def test_the_graph_holds_the_k_most_correlated_genes_both_ways(positive: bool) -> None:
    cells = expression()
    graph = pearson_graph([cells], genes=12, k=3, positive=positive)
    assert neighbours(graph) == by_definition(cells, k=3, positive=positive)


def test_how_the_cells_are_cut_into_blocks_changes_nothing() -> None:
    cells = expression()
    whole = pearson_graph([cells], genes=12, k=4)
    parts = pearson_graph([cells[:1], cells[1:1], cells[1:50], cells[50:]], genes=12, k=4)
    np.testing.assert_array_equal(whole.indptr, parts.indptr)
    np.testing.assert_array_equal(whole.indices, parts.indices)


def test_how_the_genes_are_cut_into_rows_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells = expression()
    monkeypatch.setattr(correlation, "ROWS", 5)
    graph = pearson_graph([cells[:20], cells[20:]], genes=12, k=3)
    assert neighbours(graph) == by_definition(cells, k=3, positive=False)


def test_single_precision_sums_find_the_same_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = expression(cells=400) + 5.0
    monkeypatch.setattr(correlation, "FLOAT64_GENES", 1)
    assert neighbours(pearson_graph([cells], genes=12, k=3)) == by_definition(
        cells, k=3, positive=False
    )


def test_a_gene_without_variance_keeps_only_itself() -> None:
    cells = expression()
    cells[:, 4] = 0.3
    graph = pearson_graph([cells[:7], cells[7:]], genes=12, k=11)
    assert neighbours(graph)[4] == {4}
    assert all(4 not in others for i, others in enumerate(neighbours(graph)) if i != 4)


def test_every_gene_is_its_own_neighbour_and_neighbours_are_mutual() -> None:
    sets = neighbours(pearson_graph([expression()], genes=12, k=2))
    assert all(i in near for i, near in enumerate(sets))
    assert all(i in sets[j] for i, near in enumerate(sets) for j in near)


def test_more_neighbours_than_genes_means_all_of_them() -> None:
    assert pearson_graph([expression()], genes=12, k=50).complete


def test_ties_go_to_the_gene_that_comes_first() -> None:
    cells = expression(genes=2)[:, [0, 0, 1, 0, 0]]
    assert neighbours(pearson_graph([cells], genes=5, k=1)) == [{0, 1, 2, 3, 4}] + [
        {0, gene} if gene != 1 else {0, 1} for gene in range(1, 5)
    ]


def zero_inflated(cells: int = 80, genes: int = 9, *, seed: int = 3) -> NDArray[np.float32]:
    """Mostly zeros, with ties among the others, and a few values below zero."""
    draw = np.random.default_rng(seed)
    hidden = draw.normal(size=(cells, 2)) @ draw.normal(size=(2, genes))
    counts = draw.poisson(np.exp(hidden - 1))
    values = np.log1p(counts) - 0.5 * (draw.random(size=counts.shape) < 0.05)
    return np.asarray(values, dtype=np.float32)


def test_ranks_correlate_as_spearmanr_says() -> None:
    cells = zero_inflated()
    assert (cells == 0).mean() > 0.5
    ranks = spearman._ranks(spearman._gathered([cells[:30], cells[30:]], genes=9)).toarray()
    rho = stats.spearmanr(cells).statistic
    np.testing.assert_allclose(np.corrcoef(ranks, rowvar=False), rho, atol=1e-6)


@pytest.mark.parametrize("positive", [False, True])
def test_a_spearman_graph_holds_the_genes_whose_ranks_correlate_most(positive: bool) -> None:
    cells = zero_inflated()
    rho = stats.spearmanr(cells).statistic
    graph = spearman_graph([cells[:1], cells[1:50], cells[50:]], genes=9, k=3, positive=positive)
    assert neighbours(graph) == nearest(rho, k=3, positive=positive)


def test_no_rising_function_of_the_expression_changes_a_spearman_graph() -> None:
    cells = zero_inflated()
    graph = spearman_graph([cells], genes=9, k=2)
    assert neighbours(spearman_graph([np.expm1(3 * cells)], genes=9, k=2)) == neighbours(graph)
    assert neighbours(pearson_graph([cells], genes=9, k=2)) != neighbours(graph)


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_gene_that_never_changes_has_no_rank(value: float) -> None:
    cells = zero_inflated()
    cells[:, 4] = value
    graph = spearman_graph([cells], genes=9, k=8)
    assert neighbours(graph)[4] == {4}
    assert all(4 not in others for i, others in enumerate(neighbours(graph)) if i != 4)


def test_ranks_of_blocks_of_other_genes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(cells, 9\)"):
        spearman_graph([zero_inflated(genes=8)], genes=9, k=3)


def test_one_cell_has_no_ranks() -> None:
    with pytest.raises(ValueError, match="at least 2 training cells"):
        spearman_graph([zero_inflated(cells=1)], genes=9, k=3)


def test_without_a_graph_every_gene_sees_every_gene(tmp_path: Path) -> None:
    graph = none_graph(3)
    assert graph.complete
    assert (graph.edges, graph.degrees.tolist()) == (9, [3, 3, 3])
    graph.save(tmp_path / "graph.npz")
    assert GeneGraph.load(tmp_path / "graph.npz").complete


def test_a_list_of_all_pairs_is_complete_too(tmp_path: Path) -> None:
    everyone = np.tile(np.arange(3), 3)
    GeneGraph(indptr=np.arange(4) * 3, indices=everyone).save(tmp_path / "graph.npz")
    assert GeneGraph.load(tmp_path / "graph.npz").complete


def test_edges_of_a_user_are_used_both_ways_and_strangers_left_out() -> None:
    found = edges_graph(["A", "A", "X"], ["C", "C", "B"], genes=["A", "B", "C"])
    assert neighbours(found.graph) == [{0, 2}, {1}, {0, 2}]
    assert (found.edges, found.outside, found.alone) == (3, 1, 1)


def weighted(k: int | None, *, positive: bool = False) -> list[set[int]]:
    """A star around A: B far the heaviest by |weight|, then C, then D; C and D are named twice."""
    found = edges_graph(
        ["A", "C", "D", "A", "C", "A"],
        ["B", "A", "A", "C", "D", "D"],
        genes=["A", "B", "C", "D"],
        weights=np.array([-9.0, 1.0, 3.0, 5.0, 2.0, 1.0]),
        k=k,
        positive=positive,
    )
    return neighbours(found.graph)


def test_the_heaviest_edges_of_each_gene_are_kept_both_ways() -> None:
    assert weighted(None) == [{0, 1, 2, 3}, {0, 1}, {0, 2, 3}, {0, 2, 3}]
    # A keeps B; B keeps A; C keeps A (5 over 2); D keeps A (3 over 2).
    assert weighted(1) == [{0, 1, 2, 3}, {0, 1}, {0, 2}, {0, 3}]


def test_edges_of_negative_weight_can_be_left_out() -> None:
    assert weighted(1, positive=True) == [{0, 2, 3}, {1}, {0, 2}, {0, 3}]


def test_equally_heavy_edges_go_to_the_gene_that_comes_first() -> None:
    names = ["A", "B", "C", "D"]
    found = edges_graph(["D", "D", "D"], ["C", "B", "A"], genes=names, weights=np.ones(3), k=1)
    assert neighbours(found.graph)[3] == {0, 1, 2, 3}
    found = edges_graph(["D", "D", "B"], ["C", "B", "C"], genes=names, weights=np.ones(3), k=1)
    assert neighbours(found.graph) == [{0}, {1, 2, 3}, {1, 2}, {1, 3}]


@pytest.mark.parametrize(("k", "positive", "named"), [(5, False, "k"), (None, True, "positive")])
def test_edges_without_weights_cannot_be_chosen_by_weight(
    k: int | None, positive: bool, named: str
) -> None:
    with pytest.raises(ValueError, match=rf"leave {named} out or add a column weight"):
        edges_graph(["A"], ["B"], genes=["A", "B"], k=k, positive=positive)


def test_an_edge_with_one_end_is_refused() -> None:
    with pytest.raises(ValueError, match="a source and a target"):
        edges_graph(["A", "B"], ["B"], genes=["A", "B"])


def test_an_edge_to_itself_is_no_neighbour() -> None:
    found = edges_graph(["A", "A"], ["A", "B"], genes=["A", "B"], weights=np.array([9.0, 1.0]), k=1)
    assert neighbours(found.graph) == [{0, 1}, {0, 1}]


def test_edges_that_touch_no_gene_are_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'KLF1'"):
        edges_graph(["klf1"], ["SET"], genes=["KLF1", "SAMD1"])


def test_one_cell_correlates_with_nothing() -> None:
    with pytest.raises(ValueError, match="at least 2 training cells"):
        pearson_graph([expression(cells=1)], genes=12, k=3)


def test_a_block_of_other_genes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(cells, 12\)"):
        pearson_graph([expression(genes=11)], genes=12, k=3)


def test_a_saved_graph_comes_back(tmp_path: Path) -> None:
    graph = pearson_graph([expression()], genes=12, k=3)
    graph.save(tmp_path / "graph.npz")
    again = GeneGraph.load(tmp_path / "graph.npz")
    np.testing.assert_array_equal(again.indptr, graph.indptr)
    np.testing.assert_array_equal(again.indices, graph.indices)
    assert again.tokens == 12


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "graph.npz"
    pearson_graph([expression()], genes=12, k=3).save(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"graph\.npz"):
        GeneGraph.load(path)


def test_arrays_that_are_no_graph_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "graph.npz"
    GeneGraph(indptr=np.array([0, 1, 2]), indices=np.array([0, 7])).save(path)
    with pytest.raises(ValueError, match="damaged"):
        GeneGraph.load(path)


def test_the_bare_word_none_is_a_graph_config() -> None:
    assert GraphConfig.model_validate("none") == GraphConfig(kind="none")


def test_a_correlation_looks_at_thirty_genes_and_a_list_of_edges_at_all() -> None:
    assert (GraphConfig().k, GraphConfig(kind="spearman").k) == (30, 30)
    assert GraphConfig(kind="edges", path=Path("edges.csv")).k is None


@pytest.mark.parametrize(
    "given", ["pearson", "spearman", "none", {"kind": "edges", "path": "e.csv"}, {"k": 7}]
)
def test_a_graph_config_that_is_spelled_out_says_the_same(given: object) -> None:
    config = GraphConfig.model_validate(given)
    assert GraphConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("edges", "kind edges needs path: FILE"),
        ({"path": "e.csv"}, "path belongs to kind edges, got kind pearson"),
        ({"kind": "none", "path": "e.csv"}, "remove path or set kind to edges"),
    ],
)
def test_a_path_goes_with_edges_only(given: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        GraphConfig.model_validate(given)
