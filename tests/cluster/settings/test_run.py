"""Facts of run files."""

from pathlib import Path

import pytest

from cluster.runs.identity import changed as settings_changed
from cluster.settings.config import RunConfig, make_run, read_run, write_run
from cluster.settings.yaml_file import forgiving_yaml, scalar, set_dotted
from tests.cluster.small import settings


def refused(**changes: object) -> str:
    with pytest.raises(ValueError, match="run file") as caught:
        make_run(settings(Path("store"), Path("out"), **changes), where="run file")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_written_run_comes_back(run: RunConfig, tmp_path: Path) -> None:
    write_run(run, tmp_path / "run.yaml")
    assert read_run(tmp_path / "run.yaml") == run


def test_numbers_in_scientific_notation_are_numbers(tmp_path: Path) -> None:
    text = "store: s\nname: n\nsplit: {kind: additive}\ntraining: {learning_rate: 1e-3}\n"
    (tmp_path / "run.yaml").write_text(text)
    assert read_run(tmp_path / "run.yaml").training.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("text", "value"), [("1e-4", 1e-4), ("256", 256), ("true", True), ("control", "control")]
)
def test_an_override_is_read_as_a_file_would_be(text: str, value: object) -> None:
    assert scalar(text) == value


def test_overrides_reach_into_sections(run: RunConfig, tmp_path: Path) -> None:
    write_run(run, tmp_path / "run.yaml")
    changed = read_run(tmp_path / "run.yaml", overrides={"model.width": 32})
    assert changed.model.width == 32
    assert changed.model.layers == run.model.layers
    assert settings_changed(run, changed) == {"model.width": (16, 32)}


@pytest.mark.parametrize("word", ["on", "off", "auto"])
def test_a_switch_is_a_bare_word(run: RunConfig, tmp_path: Path, word: str) -> None:
    path = tmp_path / "run.yaml"
    write_run(run, path)
    others = [one for one in path.read_text().splitlines() if not one.startswith("compile:")]
    path.write_text("\n".join([*others, f"compile: {word}"]))  # YAML reads on and off as bools
    changed = read_run(path)
    assert changed.compile == word
    write_run(changed, tmp_path / "again.yaml")
    assert read_run(tmp_path / "again.yaml") == changed


def test_no_graph_is_a_bare_word(run: RunConfig, tmp_path: Path) -> None:
    write_run(run, tmp_path / "run.yaml")
    assert read_run(tmp_path / "run.yaml", overrides={"graph": "none"}).graph.kind == "none"


def test_setting_a_dotted_name_leaves_the_original_alone() -> None:
    values = {"a": {"b": 1}}
    assert set_dotted(values, "a.c", 2) == {"a": {"b": 1, "c": 2}}
    assert values == {"a": {"b": 1}}


def test_a_dotted_name_does_not_lead_through_a_plain_value() -> None:
    with pytest.raises(ValueError, match="cannot set 'k' inside graph, which is 'spearman'"):
        set_dotted({"graph": "spearman"}, "graph.k", 5)
    assert set_dotted({"graph": None}, "graph.k", 5) == {"graph": {"k": 5}}


def test_a_graph_that_is_named_in_one_word_still_has_its_settings(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("{store: s, name: n, split: {kind: additive}, graph: none}")
    graph = read_run(tmp_path / "run.yaml", overrides={"graph.kind": "spearman"}).graph
    assert (graph.kind, graph.k) == ("spearman", 30)
    run = read_run(tmp_path / "run.yaml", overrides={"graph": "pearson", "graph.k": 7})
    assert (run.graph.kind, run.graph.k) == ("pearson", 7)


def test_an_unknown_setting_gets_the_nearest() -> None:
    assert "unknown setting 'modle'; did you mean 'model'?" in refused(modle={})
    message = refused(model={"widht": 3})
    assert "unknown setting 'model.widht'; did you mean 'model.width'?" in message


def test_a_value_out_of_range_is_named_with_what_came() -> None:
    assert "model.width: must be greater than 0, got -4" in refused(model={"width": -4})
    assert "model.width: must be greater than 0, got 0" in refused(model={"width": 0})
    many = refused(training={"steps": "many"})
    assert many.endswith("training.steps: expected a whole number, got 'many'; correct it")
    one = refused(split={"kind": "list", "test": "KLF1"})
    assert one.endswith("split.test: expected a list such as [A, B], got 'KLF1'; correct it")
    assert "'.', '_' and '-', got '..'; choose another" in refused(name="..")


def test_true_and_false_are_no_numbers() -> None:
    said = refused(training={"steps": True})
    assert said == "run file: training.steps: expected a whole number, got True; correct it"
    assert "validation.folds: expected a whole number, got False" in refused(
        validation={"folds": False}
    )
    assert "training.learning_rate: expected a number, got True" in refused(
        training={"learning_rate": True}
    )
    switched = settings(Path("store"), Path("out"), model={"base_channel": True})
    assert make_run(switched, where="run file").model.base_channel


def test_a_wrong_choice_gets_the_nearest_or_all() -> None:
    message = refused(graph={"kind": "edgs"})
    assert "graph.kind: expected 'pearson', 'spearman', 'edges' or 'none', got 'edgs'" in message
    assert message.endswith("did you mean 'edges'?")
    assert refused(graph="zebra").endswith("got 'zebra'; choose one of them")
    assert "sampling.solver: expected 'euler'" in refused(sampling={"solver": 4})


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(ValueError, match="split is missing; set it"):
        make_run({"store": "s", "name": "n"}, where="run file")


def test_what_is_misspelt_is_told_before_what_is_missing_for_it() -> None:
    """All faults are one line; the name that was meant is not called missing, too."""
    faults = {"traning": {}, "training": {"steps": "many", "validate_evry": 4}}
    with pytest.raises(ValueError, match="run file") as caught:
        make_run({"store": "s", "splt": {"kind": "additive"}, **faults}, where="run file")
    assert str(caught.value) == (
        "run file: unknown setting 'training.validate_evry'; did you mean "
        "'training.validate_every'? Also: "
        "unknown setting 'splt'; did you mean 'split'? Also: unknown setting 'traning'; did you "
        "mean 'training'? (and 2 more)"
    )
    with pytest.raises(ValueError, match=r"'storee'; did you mean 'store'\? Also: name and split"):
        make_run({"storee": "s"}, where="run file")


def test_a_value_that_may_be_of_several_kinds_is_one_fault() -> None:
    assert " Also: " not in refused(sampling={"mean": {"flow": "much"}})


def test_a_file_that_cannot_be_parsed_says_where_and_what_not_how_the_parser_works(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("store: s\nsplit: {kind: [a\n")
    with pytest.raises(ValueError, match=r"is not YAML: line 3, column 1: expected ',' or ']'"):
        read_run(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ValueError, match="which is not text; cells are read by `scdfm init` and"):
        read_run(path)
    with pytest.raises(ValueError, match=r"cannot read the value '\[1': column 3: expected"):
        scalar("[1")


def test_the_discrepancy_needs_two_cells() -> None:
    message = refused(batch={"cells": 1}, loss={"mmd_weight": 0.5})
    assert "raise it or set loss.mmd_weight to 0" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "got nothing"),
        ("- a\n", "got list"),
        ("a: [", "is not YAML"),
        ("a: b: c", "is not YAML"),
        ("a: 1\nb: {c: 2, d: 3, c: 4}\n", "line 2, column 17: 'c' is there twice; correct it"),
    ],
)
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        read_run(tmp_path / "run.yaml")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_run(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match="expected a YAML file of settings, got the folder"):
        read_run(tmp_path)


def test_sections_that_share_settings_may_have_equal_names(tmp_path: Path) -> None:
    """An anchor's values may be replaced, which is no name that is there twice."""
    (tmp_path / "run.yaml").write_text("a: &usual {c: 2, d: 3}\nb: {<<: *usual, c: 4}\n")
    assert forgiving_yaml(tmp_path / "run.yaml")["b"] == {"c": 4, "d": 3}
