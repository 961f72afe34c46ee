"""Facts about splits."""

import json
from pathlib import Path
from typing import Any

import pytest

from scdfm.screen.conditions import USUAL, name
from scdfm.splits import Split, SplitConfig
from tests.scdfm.splits.names import DOUBLES, SINGLES, data, split


def test_additive_fold_1_of_norman_is_that_of_the_release() -> None:
    doubles = data("norman_doubles_125.txt").read_text().split()
    expected = data("norman_additive_fold1_test.txt").read_text().split()
    made = split(doubles, kind="additive", fold=1)
    assert set(made.test) == {name(USUAL.parse(label)) for label in expected}
    assert len(made.test) == 37


def test_additive_tests_three_in_ten_doubles_and_trains_all_singles() -> None:
    made = split(SINGLES + DOUBLES, kind="additive")
    assert len(made.test) == 3
    assert set(SINGLES) <= set(made.train)
    assert set(made.train) | set(made.validation) | set(made.test) == set(SINGLES + DOUBLES)


def test_folds_and_seeds_of_additive_differ() -> None:
    tests = {
        split(SINGLES + DOUBLES, kind="additive", fold=fold, seed=seed).test
        for fold, seed in [(0, 42), (1, 42), (0, 7)]
    }
    assert len(tests) == 3


def test_the_same_names_and_seed_give_the_same_split_in_any_order() -> None:
    for kind in ("additive", "holdout"):
        options: dict[str, Any] = {"genes": 2} if kind == "holdout" else {}
        first = split(SINGLES + DOUBLES, kind=kind, **options)
        assert first == split(reversed(SINGLES + DOUBLES), kind=kind, **options)


def test_no_held_out_gene_is_seen_in_training() -> None:
    made = split(SINGLES + DOUBLES, kind="holdout", genes=2)
    tested = {
        token for one in made.test if made.tags[one] == "single" for token in USUAL.parse(one)
    }
    trained = {token for one in (*made.train, *made.validation) for token in USUAL.parse(one)}
    assert tested
    assert not tested & trained
    assert {USUAL.parse(one) for one in SINGLES + DOUBLES if set(USUAL.parse(one)) & tested} <= {
        USUAL.parse(one) for one in made.test
    }


def test_tags_count_the_tokens_that_training_never_saw() -> None:
    made = split(SINGLES + DOUBLES, kind="holdout", genes=3, seed=3)
    trained = {token for one in (*made.train, *made.validation) for token in USUAL.parse(one)}
    for one, tag in made.tags.items():
        unseen = len(set(USUAL.parse(one)) - trained)
        assert tag == ("single" if len(USUAL.parse(one)) == 1 else f"double_{unseen}_unseen")


def test_without_doubles_a_fifth_of_the_single_genes_is_held_out() -> None:
    made = split([f"G{i}" for i in range(25)], kind="holdout")
    assert len(made.test) == 5
    assert set(made.tags.values()) == {"single"}


def test_more_genes_to_hold_out_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match="12 genes to hold out, got 7"):
        split(SINGLES + DOUBLES, kind="holdout")


def test_combosciplex_tests_the_conditions_of_the_release() -> None:
    rows = data("combosciplex_conditions.csv").read_text().splitlines()[1:]
    labels = [row.split(",")[0] for row in rows]
    made = split([label for label in labels if label != "control"], kind="combosciplex")
    assert made.test == (
        "Alvespimycin",
        "Alvespimycin+SRT2104",
        "Crizotinib+Panobinostat",
        "Curcumin+Panobinostat",
        "Dacinostat",
        "Panobinostat+SRT1720",
        "Panobinostat+Sorafenib",
    )
    assert len(made.train) + len(made.validation) == 24


def test_combosciplex_on_other_data_names_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"without Alvespimycin, .* use kind 'list'"):
        split(SINGLES, kind="combosciplex")


def test_a_context_left_out_is_tested_and_the_others_train() -> None:
    made = split(["A", "B"], contexts=["p1", "p2", "p3"], kind="context", context="p2")
    assert made.part("A", context="p2") == "test"
    assert made.part("A", context="p1") == "train"
    assert made.tags == {"A": "seen", "B": "seen"}
    assert not made.knows_controls("p2")
    assert made.knows_controls("p1")


def test_without_a_name_the_fold_picks_the_context() -> None:
    made = split(["A"], contexts=["p3", "p1", "p2"], kind="context", fold=2)
    assert made.context == "p3"
    with pytest.raises(ValueError, match="below the number of contexts, 3"):
        split(["A"], contexts=["p3", "p1", "p2"], kind="context", fold=3)


def test_an_unknown_context_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'K562'"):
        split(["A", "B"], contexts=["K562", "RPE1"], kind="context", context="k562")


def test_listed_names_may_be_in_any_form() -> None:
    made = split(["A", "B", "C+ctrl", "B+A"], kind="list", test=["A+B", "ctrl+C"], validation=["B"])
    assert (made.test, made.validation, made.train) == (("A+B", "C"), ("B",), ("A",))


def test_an_unknown_listed_name_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'SET\+KLF1' is not in the data; did you mean"):
        split(["KLF1", "KLF1+SAMD1"], kind="list", test=["SET+KLF1"])


def test_a_file_of_names_fills_in_what_it_does_not_say(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("test: [B+A]\n")
    made = split([*SINGLES, "A+B"], kind="file", path=path)
    assert made.test == ("A+B",)
    assert made.train == tuple(SINGLES)
    assert made.validation_kind == "cells"


def test_a_file_may_leave_conditions_out(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"train": ["A", "B"], "validation": ["C"], "test": ["D"]}))
    made = split(SINGLES, kind="file", path=path)
    assert (made.train, made.validation, made.test) == (("A", "B"), ("C",), ("D",))
    assert made.part("E", context="all") is None


def test_a_saved_split_is_a_file_split(tmp_path: Path) -> None:
    made = split(SINGLES + DOUBLES, kind="additive", fold=2)
    made.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == made
    assert split(SINGLES + DOUBLES, kind="file", path=tmp_path / "split.json") == made


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- A\n", "must map train"),
        ("test: [A\n", "must be JSON or YAML"),
        ("train: [A]\n", "must name test conditions"),
        ("tests: [A]\n", "got 'tests'"),
        ("test: A\n", "must be a list"),
        ("test: [A]\ntrain: [A, B]\n", "'A' twice"),
        ("test: [A]\ntrain: [B, C]\nvalidation: [C]\n", "'C' twice"),
        ("test: [Z]\n", "'Z' is not in the data"),
        ('{"kind": "additive", "test": ["A"]}', "must hold a split"),
    ],
)
def test_a_faulty_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as raised:
        split(SINGLES, kind="file", path=path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("written", "contexts", "kind", "works"),
    [
        (SINGLES, ["all"], "additive", "holdout"),
        (SINGLES, ["all"], "context", "holdout"),
        (["A"], ["p1", "p2"], "additive", "context"),
        (["A"], ["p1", "p2"], "holdout", "context"),
    ],
)
def test_an_empty_part_names_a_kind_that_works(
    written: list[str], contexts: list[str], kind: str, works: str
) -> None:
    with pytest.raises(ValueError, match=f"use kind '{works}'"):
        split(written, contexts=contexts, kind=kind)
    assert split(written, contexts=contexts, kind=works).test


def test_one_condition_in_one_context_cannot_be_parted() -> None:
    with pytest.raises(ValueError, match="cannot be divided"):
        split(["A"], kind="holdout")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "additive", "genes": 3}, "belongs to a split of kind holdout"),
        ({"kind": "holdout", "test": ["A"]}, "belongs to a split of kind list"),
        ({"kind": "file"}, "needs path"),
        ({"kind": "list"}, "needs test"),
        ({"kind": "holdout", "genes": 3, "fraction": 0.2}, "either fraction or genes"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(
    config: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SplitConfig.model_validate(config)


def test_control_is_in_no_part() -> None:
    with pytest.raises(ValueError, match="belongs to no part"):
        Split(
            kind="list",
            seed=0,
            fold=0,
            train=("control",),
            test=("A",),
            validation_kind="cells",
        )
