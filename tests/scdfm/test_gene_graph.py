"""Facts about the gene graph."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from scdfm import gene_graph
from scdfm.gene_graph import GeneGraph, GraphConfig, edges_graph, none_graph, pearson_graph


def expression(cells: int = 60, genes: int = 12, *, seed: int = 0) -> NDArray[np.float32]:
    draw = np.random.default_rng(seed)
    programme = draw.normal(size=(cells, 3)) @ draw.normal(size=(3, genes))
    cells_by_genes = np.log1p(np.exp(programme + draw.normal(size=(cells, genes))))
    return np.asarray(cells_by_genes, dtype=np.float32)


def neighbours(graph: GeneGraph) -> list[set[int]]:
    return [
        set(graph.indices[a:b].tolist())
        for a, b in zip(graph.indptr, graph.indptr[1:], strict=False)
    ]


def by_definition(cells: NDArray[np.float32], *, k: int, positive: bool) -> list[set[int]]:
    r = np.atleast_2d(np.corrcoef(cells.astype(np.float64), rowvar=False))
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
    monkeypatch.setattr(gene_graph, "ROWS", 5)
    graph = pearson_graph([cells[:20], cells[20:]], genes=12, k=3)
    assert neighbours(graph) == by_definition(cells, k=3, positive=False)


def test_single_precision_sums_find_the_same_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = expression(cells=400) + 5.0
    monkeypatch.setattr(gene_graph, "FLOAT64_GENES", 1)
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


def test_without_a_graph_every_gene_sees_every_gene() -> None:
    graph = none_graph(3)
    assert graph.complete
    assert neighbours(graph) == [{0, 1, 2}] * 3


def test_edges_of_a_user_are_used_both_ways_and_strangers_left_out() -> None:
    graph = edges_graph(["A", "A", "X"], ["C", "C", "B"], genes=["A", "B", "C"])
    assert neighbours(graph) == [{0, 2}, {1}, {0, 2}]


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
