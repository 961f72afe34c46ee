"""Contexts without control cells are named, and left out if the user says so."""

from pathlib import Path

from data_store.ingest.write import IngestOptions, ingest
from tests.data_store.cells import adata
from tests.data_store.screens.said import refused, said

PLATES = adata(
    ["DMSO", "DMSO", "A", "B", "A", "B", "DMSO", "B"],
    plate=["p1", "p2", "p1", "p2", "p3", "p3", "p4", None],
)
TOLD = {"context_column": "plate", "drop_unlabelled": True, "perturbation": "drug"}


def test_contexts_without_controls_are_left_out_on_demand(tmp_path: Path) -> None:
    line = refused(PLATES, tmp_path / "s", **TOLD)
    assert "got none in p3 (2 cells); leave these cells out with --drop-uncontrolled" in line
    store, lines = said(PLATES, tmp_path / "s", **TOLD, drop_uncontrolled=True)
    with store:
        assert store.contexts == ("p1", "p2", "p4")
        assert store.manifest.cells == 5
    assert "left out: 2 cells of 1 context without control cells, p3" in lines


def test_a_store_that_left_contexts_out_grows_by_the_same_rule(tmp_path: Path) -> None:
    said(PLATES, tmp_path / "s", **TOLD, drop_uncontrolled=True)[0].close()
    more = adata(["DMSO", "A", "A"], plate=["p5", "p5", "p6"])
    more.obs_names = ["d0", "d1", "d2"]
    manifest = ingest(more, tmp_path / "s", options=IngestOptions(append=True))
    assert manifest.contexts == ("p1", "p2", "p4", "p5")


def test_where_no_context_has_controls_nothing_is_dropped(tmp_path: Path) -> None:
    cells = adata(["DMSO", "A", "B"], plate=["p1", "p2", "p3"])
    line = refused(cells, tmp_path / "s", **TOLD, drop_uncontrolled=True, exclude=("DMSO",))
    assert "got none in p2, p3 (2 cells); choose another --context-column" in line
