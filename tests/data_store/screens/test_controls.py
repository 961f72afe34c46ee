"""Controls are named by labels or patterns; what looks like one and is none is said."""

from pathlib import Path

import pytest

from data_store.sources.controls import advice, alike, resolved
from data_store.store.integrity import verify
from tests.data_store.cells import adata
from tests.data_store.screens.said import advised, refused, said

GUIDES = ["NT_1", "NT_2", "NT_3+A", "A", "A+B", "NT_1+NT_4", "C"]


def test_a_pattern_means_all_labels_like_it_and_parts_of_combinations(tmp_path: Path) -> None:
    store, lines = said(GUIDES, tmp_path / "store", control=("NT_*",))
    with store:
        assert set(store.conditions) == {"A", "A+B", "C"}
        assert sum(map(len, store.controls.values())) == 3
        assert {"NT_1", "NT_2", "NT_3", "NT_4"} <= set(store.words.controls)
        for label in ("A+NT_3", "NT_4+A", "A"):
            assert store.words.parse(label) == ("A",)
    assert "control: NT_1, NT_1+NT_4, NT_2" in lines
    assert verify(tmp_path / "store") == []


def test_a_grown_store_knows_the_pattern(tmp_path: Path) -> None:
    said(GUIDES, tmp_path / "store", control=("NT_*",))[0].close()
    more = adata(["NT_9", "A+NT_8", "B"])
    more.obs_names = ["d0", "d1", "d2"]
    store, _ = said(more, tmp_path / "store", append=True)
    with store:
        assert set(store.conditions) == {"A", "A+B", "B", "C"}
        assert sum(map(len, store.controls.values())) == 4


def test_several_controls_are_one(tmp_path: Path) -> None:
    store, _ = said(["mock", "PBS", "A", "B+mock"], tmp_path / "store", control=("mock", "PBS"))
    with store:
        assert set(store.conditions) == {"A", "B"}
        assert sum(map(len, store.controls.values())) == 2


def test_a_pattern_that_matches_nothing_is_refused_with_the_nearest(tmp_path: Path) -> None:
    assert "'nt_*' for --control, got none (nearest: 'NT_" in refused(
        GUIDES, tmp_path / "s", control=("nt_*",)
    )
    with pytest.raises(ValueError, match="got none; correct the pattern"):
        resolved(["NT_*", "sg*"], GUIDES, separator="+")


def test_a_pattern_does_not_swallow_a_perturbation_behind_another_sign(tmp_path: Path) -> None:
    for sign in "|;_":
        labels = ["NT_1", "A", "B", f"NT_2{sign}A"]
        line = refused(labels, tmp_path / "s", control=("NT_*",))
        assert f"'NT_2{sign}A', which seems to be a control and a perturbation" in line
    assert resolved(["NT_*"], ["NT_1", "NT", "NT_2|NT_3"], separator="+") == (
        "NT_*", "NT_1", "NT_2|NT_3",
    )  # fmt: skip
    line = refused(["NT_1", "A", "B", "NT_2|A"], tmp_path / "s", control=("NT_*",))
    told = {"control": ("NT_*",), **advised(line)}
    store, _ = said(["NT_1", "A", "B", "NT_2|A"], tmp_path / "s", **told)
    with store:
        assert set(store.conditions) == {"A", "B"}


def test_a_label_with_a_star_is_no_pattern() -> None:
    labels = ["ctrl*", "ctrl1", "A"]
    assert resolved(["ctrl*"], labels, separator="+") == ("ctrl*",)


def test_near_controls_are_said_in_one_line_whose_advice_works(tmp_path: Path) -> None:
    labels = ["non-targeting", "NegCtrl0", "NegCtrl1", "NegCtrl2", "mock", "A", "B+mock", "NTC"]
    store, lines = said(labels, tmp_path / "one")
    store.close()
    [line] = [line for line in lines if "look like controls" in line]
    assert "NTC, NegCtrl0, NegCtrl1, NegCtrl2, mock; --control" in line
    told = advised(line)
    assert told == {"control": ("non-targeting", "NTC", "NegCtrl*", "mock")}
    store, lines = said(labels, tmp_path / "two", **told)
    with store:
        assert set(store.conditions) == {"A", "B"}
    assert not any("look like controls" in line for line in lines)


def test_advice_keeps_the_controls_beside_perturbations(tmp_path: Path) -> None:
    labels = ["A+ctrl", "non-targeting", "A", "NTC", "B+ctrl+non-targeting"]
    store, lines = said(labels, tmp_path / "one")
    store.close()
    [line] = [line for line in lines if "look like controls" in line]
    line_without = refused(["A+ctrl", "NTC"], tmp_path / "s")
    for cells, told, left in (
        (labels, advised(line), {"A", "B"}),
        (["A+ctrl", "NTC"], advised(line_without), {"A"}),
    ):
        store, _ = said(cells, tmp_path / f"{len(left)}", **told)
        with store:
            assert set(store.conditions) == left
    columns = adata(["ctrl", "A", "A", "mock"], column="one", two=["ctrl", "B", "ctrl", "ctrl"])
    two = {"condition_column": ("one", "two")}
    store, lines = said(columns, tmp_path / "two", **two)
    store.close()
    [line] = [line for line in lines if "look like controls" in line]
    store, lines = said(columns, tmp_path / "three", **two, **advised(line))
    with store:
        assert set(store.conditions) == {"A", "A+B"}


def test_a_measured_gene_is_no_near_control(tmp_path: Path) -> None:
    cells = adata(["ctrl", "EGFP", "A"], genes=("A", "EGFP", "C"))
    store, lines = said(cells, tmp_path / "one")
    store.close()
    assert not any("look like controls" in line for line in lines)


def test_without_a_control_the_likely_one_is_named(tmp_path: Path) -> None:
    line = refused(["PBS", "A", "B"], tmp_path / "one")
    assert "PBS may be: --control PBS" in line
    said(["PBS", "A", "B"], tmp_path / "one", **advised(line))[0].close()
    line = refused(["x_DMSO", "y_DMSO_2", "A", "B"], tmp_path / "two")
    assert "x_DMSO, y_DMSO_2 may be: --control x_DMSO --control y_DMSO_2" in line


LIKE = """NTC NegCtrl0 safe-targeting safe_targeting_12 mock Mock-infected scramble untreated PBS
NO_SITE ONE_NON-GENE_SITE AAVS1 EGFP sgNTC-2 negative_control_3 NT_12 non-targeting_00023
NegCtrl10__NegCtrl0 NT_3|NT_4 WT DMSO_0.1 intergenic_4 luciferase ROSA26"""

UNLIKE = """WT1 NT5E NT-3 IL-2 EV71 LUC7L NCOR1 CTRC STAT1 sgSTAT1_1 MOCKX ROS1 EGF Dacinostat
sgWT1_2 NEGR1 NCAM1 TNF Waterman NTRK1 PBSX SHAMAN NTNG1 NT_3|STAT1"""


def test_usual_names_of_controls_are_known_and_genes_are_not_taken_for_them() -> None:
    assert set(alike(LIKE.split())) == set(LIKE.split())
    assert alike(UNLIKE.split()) == ()


def test_a_pattern_is_advised_only_if_it_means_nothing_else() -> None:
    many = ["NT_1", "NT_2", "NT_3"]
    assert advice(many, among=[*many, "A"]) == "--control 'NT_*'"
    assert advice(many, among=[*many, "NT_A"]) == "--control NT_1 --control NT_2 --control NT_3"
    assert advice(["no site"], among=["no site"]) == "--control 'no site'"
