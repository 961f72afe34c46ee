"""Facts of a run's gene graph: which cells and which edges it is made of."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cluster.runs import graph as run_graphs
from cluster.runs.graph import edges_changed, graph_note, run_graph
from cluster.runs.plan import known_controls, make_plan
from cluster.settings.config import RunConfig, make_run
from data_store.store.reader import Store
from data_store.stream import Cells
from scdfm.flow.provenance import GraphFacts
from scdfm.gene_graph.config import GraphConfig
from scdfm.gene_graph.correlation import pearson_graph
from scdfm.gene_graph.graph import none_graph
from scdfm.gene_graph.spearman import spearman_graph
from tests.cluster.small import settings

GENES = np.arange(5, 25)


def training(store: Store) -> list[Cells]:
    return [Cells(k, unit.start, unit.stop) for k, unit in enumerate(store.units)][:6]


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_a_correlation_is_that_of_the_cells_it_is_given(tiny_store_path: Path, kind: str) -> None:
    config = GraphConfig.model_validate({"kind": kind, "k": 3})
    with Store.open(tiny_store_path) as store:
        cells = training(store)
        graph, facts = run_graph(config, store, cells=cells, genes=GENES)
        dense = [store.expression(part.start, part.stop, genes=GENES) for part in cells]
    build = {"pearson": pearson_graph, "spearman": spearman_graph}[kind]
    np.testing.assert_array_equal(graph.indices, build(dense, genes=20, k=3).indices)
    count = sum(map(len, dense))
    assert facts == GraphFacts(kind=kind, edges=graph.edges, cells=count, of=count)
    assert graph_note(facts) is None


def test_fewer_cells_are_the_first_share_of_each_unit_and_said(tiny_store_path: Path) -> None:
    with Store.open(tiny_store_path) as store:
        cells = training(store)
        everything = sum(part.stop - part.start for part in cells)
        config = GraphConfig(k=3, cells=everything // 2)
        graph, facts = run_graph(config, store, cells=cells, genes=GENES)
        read = facts.cells
        assert read is not None
        halves = [
            part._replace(stop=part.start + round((part.stop - part.start) * read / everything))
            for part in cells
        ]
        other, _ = run_graph(GraphConfig(k=3), store, cells=halves, genes=GENES)
    np.testing.assert_array_equal(graph.indices, other.indices)
    assert abs(read - everything / 2) <= len(cells)
    assert graph_note(facts) == f"graph: pearson over {read} of {everything} training cells"


def test_ranks_are_taken_of_no_more_values_than_memory_is_meant_for(
    tiny_store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(tiny_store_path) as store:
        cells = training(store)
        units = [part.unit for part in cells]
        values = int(store.moments.nonzero_of(units)[GENES].sum())
        monkeypatch.setattr(run_graphs, "RANKED_VALUES", values // 3)
        _, ranked = run_graph(GraphConfig(kind="spearman"), store, cells=cells, genes=GENES)
        _, whole = run_graph(GraphConfig(), store, cells=cells, genes=GENES)
    assert ranked.of is not None
    assert ranked.cells == pytest.approx(ranked.of / 3, abs=len(cells))
    assert whole.cells == whole.of


def test_no_graph_reads_no_cell(tiny_store_path: Path) -> None:
    with Store.open(tiny_store_path) as store:
        graph, facts = run_graph(GraphConfig(kind="none"), store, cells=[], genes=GENES)
    assert graph.complete
    assert (graph.tokens, facts) == (none_graph(20).tokens, GraphFacts(kind="none", edges=400))


def with_edges(store: Path, folder: Path, text: str, **graph: object) -> RunConfig:
    file = folder / "edges.csv"
    file.write_text(text)
    values = settings(store, folder, graph={"kind": "edges", "path": str(file), **graph})
    return make_run(values, where="test")


def test_a_users_edges_are_the_graph_of_the_run(tiny_store_path: Path, tmp_path: Path) -> None:
    with Store.open(tiny_store_path) as store:
        genes = make_plan(make_run(settings(tiny_store_path, tmp_path), where="test"), store)
        a, b, c, *_ = genes.vocabulary.genes
        text = f"source,target,weight\n{a},{b},-3\n{a},{c},1\n{b},{c},0.5\n{a},NOSUCH,9\n"
        plan = make_plan(with_edges(tiny_store_path, tmp_path, text, k=1), store)
    ends = plan.graph.indptr.tolist()
    assert [plan.graph.indices[i:j].tolist() for i, j in pairwise(ends[:5])] == [
        [0, 1, 2], [0, 1], [0, 2], [3],
    ]  # fmt: skip
    facts = plan.graph_facts
    assert facts is not None
    assert (facts.listed, facts.outside, facts.alone) == (4, 1, len(ends) - 1 - 3)
    note = graph_note(facts)
    assert note is not None
    assert "3 of 4 edges" in note
    assert "1 are left out" in note


@pytest.mark.parametrize(
    ("text", "graph", "said"),
    [
        ("source,target\nKLF1x,NOSUCH\n", {}, r"edges\.csv: none of the 1 edges joins"),
        ("gene,target\nA,B\n", {}, "source is missing"),
        ("source,target\nA,B\n", {"k": 3}, "leave k out or add a column weight"),
    ],
)
def test_a_list_that_does_not_fit_the_run_is_refused_in_one_line(
    tiny_store_path: Path, tmp_path: Path, text: str, graph: dict[str, object], said: str
) -> None:
    run = with_edges(tiny_store_path, tmp_path, text, **graph)
    with Store.open(tiny_store_path) as store, pytest.raises(ValueError, match=said) as caught:
        make_plan(run, store)
    assert "\n" not in str(caught.value)


def test_another_list_under_the_same_name_is_noticed_and_a_lost_one_is_not_needed(
    tmp_path: Path,
) -> None:
    file = tmp_path / "edges.csv"
    file.write_text("source,target\nA,B\n")
    config = GraphConfig(kind="edges", path=file)
    _, facts = run_graphs.user_graph(config, genes=["A", "B", "C"])
    assert edges_changed(config, facts) is None
    file.write_text("source,target\nA,C\n")
    assert "is now" in str(edges_changed(config, facts))
    file.unlink()
    assert edges_changed(config, facts) is None


def test_controls_of_a_held_out_context_make_no_graph(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    values = settings(tiny_store_path, tmp_path, split={"kind": "context", "fold": 0})
    with Store.open(tiny_store_path) as store:
        split = make_plan(make_run(values, where="test"), store).split
        contexts = {store.units[cells.unit].context for cells in known_controls(split, store)}
        assert contexts
        assert split.context not in contexts
