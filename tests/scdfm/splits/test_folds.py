"""Facts about folds: what can validate is divided, and nothing of the test part enters."""

from typing import Any

import pytest

from scdfm.screen.conditions import USUAL
from scdfm.splits import Split
from scdfm.splits.folds import fold_splits, whole_split
from tests.scdfm.splits.names import (
    BOTH_SINGLES_SEEN,
    DOUBLES,
    SINGLES,
    norman_subset,
    screen,
    split,
)

PATIENTS = ["p1", "p2", "p3", "p4", "p5"]


def divided(
    labels: list[str], *, folds: int, contexts: Any = ("all",), **config: Any
) -> tuple[Split, tuple[Split, ...]]:
    made = split(labels, contexts=contexts, **config)
    return made, fold_splits(made, screen(labels, contexts=contexts), folds=folds)


@pytest.mark.parametrize(
    ("labels", "config", "source"),
    [
        (SINGLES + DOUBLES, {"kind": "additive"}, "measured"),
        (SINGLES + DOUBLES, {"kind": "list", "test": ["A"], "validation": DOUBLES}, "listed"),
        (["A+B", "B+C", "C+D", "A+D", "A+C"], {"kind": "list", "test": ["A+C"]}, "doubles"),
        ([f"G{i}" for i in range(15)], {"kind": "holdout"}, "conditions"),
    ],
)
def test_each_condition_that_can_validate_does_so_in_one_fold(
    labels: list[str], config: dict[str, Any], source: str
) -> None:
    made, folds = divided(labels, folds=3, **config)
    held = [name for fold in folds for name in fold.validation]
    outside_the_test = {*made.train, *made.validation}
    assert len(held) == len({*held})
    assert {*made.validation} <= {*held} <= outside_the_test
    sizes = sorted(len(fold.validation) for fold in folds)
    assert sizes[0] >= 1
    assert sizes[-1] - sizes[0] <= 1
    for fold in folds:
        assert fold.test == made.test
        assert {*fold.train} == outside_the_test - {*fold.validation}
        assert fold.validation_source == source
        trained = {token for one in fold.train for token in USUAL.parse(one)}
        if source == "measured":
            assert all({*USUAL.parse(one)} <= {*fold.train} for one in fold.validation)
        if source == "doubles":
            assert all({*USUAL.parse(one)} <= trained for one in fold.validation)


def test_genes_never_seen_do_not_ask_for_doubles_of_known_ones() -> None:
    singles = [f"G{i}" for i in range(6)]
    _, held = divided(singles, folds=3, kind="holdout")
    assert all(fold.validates_as_tested for fold in held)
    _, unlike = divided([*singles, "G0+G1"], folds=3, kind="list", test=["G0+G1"])
    assert {fold.validation_source for fold in unlike} == {"conditions"}
    assert not any(fold.validates_as_tested for fold in unlike)


def test_what_trains_in_the_end_is_all_outside_the_test_part() -> None:
    made = split(SINGLES + DOUBLES, kind="additive")
    whole = whole_split(made)
    assert {*whole.train} == {*made.train, *made.validation}
    assert (whole.test, whole.validation, whole.validation_kind) == (made.test, (), "none")
    assert whole.validation_cells(100) == 0
    assert Split.model_validate(whole.model_dump()) == whole


def test_folds_of_a_context_split_leave_training_contexts_out() -> None:
    made, folds = divided(["A", "B"], folds=4, contexts=PATIENTS, kind="context", context="p2")
    assert sorted(fold.validation_contexts for fold in folds) == [
        ("p1",), ("p3",), ("p4",), ("p5",)
    ]  # fmt: skip
    for fold in folds:
        [away] = fold.validation_contexts
        parts = {one: fold.part("A", context=one) for one in PATIENTS}
        assert [parts[one] for one in (away, "p2")] == ["validation", "test"]
        assert sum(part == "train" for part in parts.values()) == 3
    assert whole_split(made).part("A", context=made.validation_contexts[0]) == "train"


def test_folds_of_the_norman_subset_train_every_token_and_hold_no_test_double() -> None:
    made, folds = divided(norman_subset(), folds=2, kind="list", test=BOTH_SINGLES_SEEN)
    for fold in folds:
        trained = {token for one in fold.train for token in USUAL.parse(one)}
        assert {token for one in fold.validation for token in USUAL.parse(one)} <= trained
        assert fold.validation
        assert not {*BOTH_SINGLES_SEEN} & {*fold.train, *fold.validation}
    assert made.test == tuple(sorted(BOTH_SINGLES_SEEN))
    with pytest.raises(ValueError, match="doubles that training can spare to divide"):
        divided(norman_subset(), folds=9, kind="list", test=BOTH_SINGLES_SEEN)


def test_the_split_draws_its_folds() -> None:
    made, first = divided(SINGLES + DOUBLES, folds=2, kind="list", test=["A+B"], seed=1)
    assert fold_splits(made, screen(reversed(SINGLES + DOUBLES)), folds=2) == first
    _, other = divided(SINGLES + DOUBLES, folds=2, kind="list", test=["A+B"], seed=2)
    assert [one.validation for one in first] != [one.validation for one in other]


@pytest.mark.parametrize(
    ("labels", "contexts", "config", "folds", "message"),
    [
        (["A", "B", "C", "A+B", "A+C", "B+C"], ["all"], {"kind": "list", "test": ["B+C"]}, 3,
         "validation.folds is 3 and the split has 2 doubles .* set it to 2 or less"),
        (SINGLES, ["all"], {"kind": "list", "test": ["A"], "validation": ["B"]}, 2,
         "1 listed validation conditions to divide; leave it out"),
        (["A"], PATIENTS, {"kind": "context"}, 6, "4 training contexts .* set it to 4 or less"),
        (["A"], PATIENTS[:3], {"kind": "context"}, 2, "which this screen does not allow"),
        (["A"], PATIENTS[:4], {"kind": "context"}, 2, "leaves 2 of 3 training contexts out"),
    ],
)  # fmt: skip
def test_more_folds_than_the_split_allows_are_refused(
    labels: list[str], contexts: list[str], config: dict[str, Any], folds: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        divided(labels, folds=folds, contexts=contexts, **config)
