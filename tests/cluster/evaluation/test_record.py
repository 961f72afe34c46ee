"""Evaluations on disk, of this version and of those before it."""

from typing import Any

import pytest

from cluster.report.judged import unusual
from cluster.work.evaluation.record import Evaluation, SplitFacts
from cluster.work.evaluation.remarks import remarks
from scdfm.splits import Split

KEPT: dict[str, Any] = {
    "model": None,
    "store": "s.zarr",
    "fingerprint": "f",
    "split": {"kind": "additive", "seed": 42, "fold": 0, "context": None},
    "tags": {},
    "genes": 5,
    "genes_of_all_cells": None,
    "conditions": 3,
    "cells": 9,
    "sampling": {},
    "arithmetic": {},
    "tables": {},
}
COMPUTED = {"device": "cpu", "precision": "float32", "matmul": "highest", "compiled": False}


@pytest.mark.parametrize(
    "change",
    [
        {},  # others' predictions alone: nothing was sampled
        {"split": {"kind": "file"}},
        {"arithmetic": COMPUTED},
        {"sampling": {"solver": "euler", "steps": 3, "batch": 16}},
    ],
    ids=["no model", "a short split", "arithmetic", "sampling"],
)
def test_a_record_is_read_and_written_as_it_was(change: dict[str, Any]) -> None:
    kept = KEPT | change
    written = Evaluation.model_validate(kept).model_dump(mode="json")
    for name, value in kept.items():
        if name != "sampling":
            assert written[name] == value, name
    assert written["sampling"].items() >= kept["sampling"].items()
    assert bool(written["sampling"]) == bool(kept["sampling"])


def test_parts_of_a_split_are_told_by_name() -> None:
    assert Evaluation.model_validate(KEPT).split == SplitFacts(
        kind="additive", seed=42, fold=0, context=None
    )


def test_test_conditions_are_told_by_name_where_splits_are_lists() -> None:
    unit = {"context": "K562", "label": "A", "cells": 3, "controls": 3, "generated": 3}
    found = Evaluation.model_validate(KEPT | {"units": [unit | {"condition": "A"}]})

    def split(*test: str, context: str | None = None) -> Split:
        parts = {"train": ("Z",), "test": test, "validation_kind": "none", "context": context}
        return Split(kind="list", seed=42, fold=0, **parts)

    assert found.tests(split("A"))
    assert not found.tests(split("B"))
    assert not found.tests(split("A", "B"))
    assert found.tests(split("A", "B", context="K562"))  # B was not measured there
    assert Evaluation.model_validate(KEPT).tests(split("B"))  # an older one did not say
    said = unusual(found, split=split("B"))
    assert any("than its own split tests (--split)" in line for line in said)


@pytest.mark.parametrize(("count", "words"), [(1, "1 condition is"), (3, "3 conditions are")])
def test_one_condition_is_no_plural(count: int, words: str) -> None:
    table = {"overall": {}, "contexts": {}, "conditions": {}}
    few = {"conditions": count, "noise": {"over": "cells"}, "tables": {"scDFM": table}}
    lines = remarks(Evaluation.model_validate(KEPT | few))
    assert any(line.startswith(f"{words} too few") for line in lines)
