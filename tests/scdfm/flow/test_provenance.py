"""Where a model comes from, as cards of several versions say it."""

import copy
import json
from collections.abc import Iterator

import pytest

from cluster.work.folds.facts import folds_note
from scdfm.flow.loop.state import Progress
from scdfm.flow.provenance import FoldFacts, Provenance
from scdfm.screen.untyped import JsonObject

KEPT: JsonObject = {  # of a run whose folds were weighed, as it was written before there were types
    "run": "norman",
    "store": "stores/norman.zarr",
    "fingerprint": "3052983f",
    "contexts": ["line1"],
    "versions": {"scdfm": "0.1.0"},
    "commit": None,
    "hardware": {"machine": "x86_64", "cores": 2, "gpus": []},
    "graph": {"kind": "pearson", "edges": 136, "cells": 564, "of": 564},
    "folds": {"step": 6, "rounds": [], "alone": [0, 6], "guess": False},
    "arithmetic": {"device": "cpu", "precision": "float32", "matmul": "highest", "compiled": False},
    "step": 6,
    "validation": {"mse": 0.17, "pearson_delta": None},
}
RELEASE: JsonObject = {
    "checkpoint": {"path": "gene.pt", "sha256": "ab"},
    "mask": None,
    "vocabulary": None,
    "graph": {"k": 30, "negative_edges": False},
}


@pytest.mark.parametrize(
    "kept",
    [
        KEPT,
        {},
        {"run": "norman"},
        {"step": 7, "release": RELEASE},
        {**KEPT, "found_later": {"by": "a newer version"}},
        {**KEPT, "hardware": {**KEPT["hardware"], "memory": 2}},
    ],
    ids=["all", "nothing", "one fact", "the authors' files", "one more", "one more inside"],
)
def test_a_card_says_again_what_it_said_no_more_and_no_less(kept: JsonObject) -> None:
    read = Provenance.model_validate(kept)
    assert json.loads(read.model_dump_json()) == read.plain() == kept


def parts(facts: JsonObject, *, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to each fact, also inside others."""
    for name, value in facts.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from parts(value, path=(*path, name))


FULL: JsonObject = {
    **KEPT,
    "release": {name: {"path": "a", "sha256": "b"} for name in ("checkpoint", "mask")}
    | {"graph": RELEASE["graph"]},
    "init_from": {
        "path": "runs/a",
        "run": "a",
        "step": 4,
        "weights": "ab",
        "matched": 3,
        "new": ["X"],
        "left": 1,
    },
}


@pytest.mark.parametrize("path", [*parts(FULL)], ids=".".join)
def test_no_model_is_refused_for_a_fact_that_its_card_lacks(path: tuple[str, ...]) -> None:
    older = copy.deepcopy(FULL)
    inside = older
    for name in path[:-1]:
        inside = inside[name]
    del inside[path[-1]]
    if path == ("folds", "step"):  # all versions wrote it, and training ends there
        with pytest.raises(ValueError, match=r"folds\.step"):
            Provenance.model_validate(older)
    else:
        assert Provenance.model_validate(older).plain() == older


def test_folds_of_the_version_that_kept_their_rounds_are_read_and_told() -> None:
    step = {"step": 6, "metrics": {"mse": 0.2}}
    facts = FoldFacts.model_validate({"step": 6, "rounds": [step], "best": [step]})
    assert facts.plain()["best"] == [step]
    note = folds_note(facts, metric="mse")
    assert note is not None
    assert note.startswith("its folds: mean mse 0.2 is best at step 6; ")


def test_facts_of_a_whole_take_the_place_of_those_of_a_part() -> None:
    part = Provenance.model_validate(KEPT)
    whole = part.with_facts(Provenance(run="ensemble", step=2))
    assert whole.plain() == KEPT | {"run": "ensemble", "step": 2}


def test_progress_comes_back_also_from_a_version_that_kept_less() -> None:
    now = Progress(step=4, next_batch=8, best=0.5, best_step=2, rounds=3, judged=2)
    assert Progress.of(now.kept()) == now
    # It kept its state after rounds only.
    assert Progress.of({"step": 4}) == Progress(step=4, judged=4)
