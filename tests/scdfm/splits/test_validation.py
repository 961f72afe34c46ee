"""Facts about what validates: units that ask what the test asks, where the data hold them."""

import json
from pathlib import Path

import anndata
import pytest

from scdfm.screen.conditions import USUAL
from scdfm.splits import Split
from scdfm.splits.told import validation_in_words, validation_note
from tests.scdfm.splits.names import (
    BOTH_SINGLES_SEEN,
    DOUBLES,
    SINGLES,
    norman,
    norman_subset,
    split,
)

PATIENTS = ["p1", "p2", "p3", "p4"]


def has_all_singles(made: Split, double: str) -> bool:
    return len(USUAL.parse(double)) > 1 and {*USUAL.parse(double)} <= {*made.train}


def test_training_has_every_single_of_a_validation_double(tiny_adata: anndata.AnnData) -> None:
    simulated = [one for one in tiny_adata.obs["condition"].unique() if one != "control"]
    for labels in (SINGLES + DOUBLES, simulated):
        for fold in range(20):
            made = split(labels, kind="additive", fold=fold)
            assert all(has_all_singles(made, one) for one in made.validation)
            assert len(made.validation) == 4
            assert made.validation_source == "measured"
            if {*made.tags.values()} == {"double_0_unseen"}:
                assert made.validates_as_tested
                assert validation_note(made) is None
            assert not {*made.validation} & {*made.train, *made.test}


def test_training_has_every_single_of_a_validation_double_of_real_norman() -> None:
    for fold in range(4):
        made = split(norman(), kind="additive", fold=fold)
        known = [one for one in made.train if has_all_singles(made, one)]
        assert all(has_all_singles(made, one) for one in made.validation)
        assert len(made.validation) == (len(known) + len(made.validation)) // 10 >= 4
        assert not {*made.validation} & {*made.train, *made.test}


def test_validation_on_the_norman_subset_is_the_two_doubles_that_can_be_spared() -> None:
    for seed in range(5):
        made = split(norman_subset(), kind="list", test=BOTH_SINGLES_SEEN, seed=seed)
        assert made.validation == ("CNN1+MAPK1", "PTPN12+SAMD1")
        assert len(made.train) == 26
        assert made.validation_source == "doubles"
        assert not made.validates_as_tested
    assert "every single of fewer than 2 doubles" in (validation_note(made) or "")


def test_a_tenth_of_many_doubles_validates_and_4_of_few() -> None:
    genes = [f"G{i:02}" for i in range(14)]
    doubles = [f"{a}+{b}" for a in genes for b in genes if a < b]
    assert len(split(genes + doubles, kind="additive").validation) == 6  # of 64
    assert len(split(genes + doubles[:40], kind="additive").validation) == 4  # of 28


def test_fewer_than_4_doubles_with_every_single_are_said() -> None:
    made = split(["A", "B", "C", "A+B", "A+C", "B+D", "C+D"], kind="list", test=["C+D"])
    assert made.validation == ("A+B", "A+C")
    assert validation_note(made) == (
        "validates on 2 doubles, not 4: there are no more of which training has every single alone"
    )
    assert made.validates_as_tested


def test_a_single_that_is_tested_does_not_count_as_measured() -> None:
    made = split(["A", "B", "C", "A+B", "A+C", "B+C"], kind="list", test=["C"])
    assert made.validation_source == "doubles"
    assert len(made.validation) == 2


def test_doubles_of_known_genes_do_not_ask_for_genes_never_seen() -> None:
    made = split(SINGLES + DOUBLES, kind="holdout", genes=2)
    assert made.validation_source == "measured"
    assert not made.validates_as_tested
    assert "unlike those of most test conditions" in (validation_note(made) or "")
    untold = made.model_copy(update={"tags": {}})  # a list of the user's own may have none
    assert untold.validates_as_tested


def test_seed_and_fold_draw_the_validation_doubles() -> None:
    drawn = {
        split(SINGLES + DOUBLES, kind="list", test=["A+B"], fold=fold, seed=seed).validation
        for fold in range(3)
        for seed in (1, 2)
    }
    assert len(drawn) > 2


def test_a_training_context_validates_where_one_is_tested() -> None:
    drawn = set()
    for seed in range(8):
        made = split(["A", "B"], contexts=PATIENTS, kind="context", context="p2", seed=seed)
        [left_out] = made.validation_contexts
        drawn.add(left_out)
        parts = {one: made.part("A", context=one) for one in PATIENTS}
        trained = [one for one in PATIENTS if one not in ("p2", left_out)]
        assert parts == {"p2": "test", left_out: "validation"} | dict.fromkeys(trained, "train")
        assert made.knows_controls(left_out)
        assert made.validates_as_tested
    assert drawn == {"p1", "p3", "p4"}
    assert validation_in_words(made) == f"2 conditions in context {left_out}"


def test_what_only_the_validating_context_holds_is_not_trained() -> None:
    contexts = {"A": PATIENTS, "B": ["p1"], "C": ["p1", "p2"]}
    for seed in range(8):
        made = split(contexts, contexts=contexts, kind="context", context="p2", seed=seed)
        if made.validation_contexts == ("p1",):
            assert (made.train, made.validation) == (("A",), ("A", "B", "C"))
            assert made.part("B", context="p1") == "validation"
            break
    else:
        pytest.fail("p1 never validates")


def test_a_context_that_shares_nothing_does_not_validate() -> None:
    contexts = {"A": ["p1", "p2", "p3"], "B": ["p4"]}
    for seed in range(8):
        made = split(contexts, contexts=contexts, kind="context", context="p2", seed=seed)
        assert made.validation_contexts in (("p1",), ("p3",))


def test_where_one_training_context_would_remain_cells_validate_and_that_is_said() -> None:
    made = split(["A", "B"], contexts=PATIENTS[:3], kind="context", context="p2")
    assert made.validation_kind == "cells"
    assert not made.validation_contexts
    assert not made.validates_as_tested
    assert "would leave fewer than 2 to train on" in (validation_note(made) or "")


def test_a_listed_validation_part_stays_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("test: [A+B]\nvalidation: [F+G]\n")
    for made in (
        split(SINGLES + DOUBLES, kind="list", test=["A+B"], validation=["F+G"]),
        split(SINGLES + DOUBLES, kind="file", path=path),
    ):
        assert made.validation == ("F+G",)
        assert made.validation_source == "listed"
        assert validation_note(made) is None


def test_a_split_of_an_older_version_keeps_its_validation_part(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    made = split(SINGLES + DOUBLES, kind="additive")
    new = {"validation_source", "validation_contexts"}
    path.write_text(made.model_dump_json(exclude=new))
    before = Split.load(path)
    assert before.validation == made.validation
    assert before.validation_source is None
    assert not before.validates_as_tested
    assert validation_note(before) is None
    assert split(SINGLES + DOUBLES, kind="file", path=path) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": None}, "belong to a split that holds out a context"),
        ({"validation_contexts": ["p2"]}, "must not validate, too"),
        ({"validation_contexts": ["p9"]}, "'p9', which is not in the data"),
    ],
)
def test_a_saved_split_with_faulty_validation_contexts_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "split.json"
    made = split(["A", "B"], contexts=PATIENTS, kind="context", context="p2")
    path.write_text(json.dumps({**made.model_dump(mode="json"), **change}))
    with pytest.raises(ValueError, match=message):
        split(["A", "B"], contexts=PATIENTS, kind="file", path=path)


def test_without_doubles_to_spare_cells_validate() -> None:
    made = split(SINGLES, kind="holdout")
    assert made.validation_kind == "cells"
    assert made.validation == ()
    assert "no conditions can be spared" in (validation_note(made) or "")
    assert [made.validation_cells(cells) for cells in (0, 1, 2, 70, 71, 100)] == [0, 0, 1, 7, 8, 10]


def test_where_conditions_validate_all_cells_train() -> None:
    assert split(SINGLES + DOUBLES, kind="additive").validation_cells(100) == 0
