"""Facts of runs that combine their flow with a base."""

import json
from pathlib import Path

import numpy as np
import pytest

from cluster.runs.directory import RunDirectory
from cluster.runs.plan import known_conditions, make_plan, whole_units
from cluster.runs.records import FlowRound
from cluster.settings.config import read_run
from cluster.train import train_here
from cluster.work.means import measured_units
from data_store.store.reader import Store
from scdfm.flow.checkpoint import load_model
from scdfm.flow.combined import Evidence, weigh
from scdfm.flow.files import BASE, CARD, WEIGHTS
from scdfm.metrics.shrunken import fit
from tests.cluster.combined.conftest import combining

pytestmark = pytest.mark.slow


def files(run: Path) -> list[bytes]:
    return [(run / "model" / name).read_bytes() for name in (WEIGHTS, BASE, CARD)]


def test_a_model_keeps_its_base_and_the_weight_of_its_best_round(combined: Path) -> None:
    model, run = load_model(combined / "model"), read_run(combined / "run.yaml")
    assert model.base is not None
    assert model.card.mean is not None
    rounds = {line["step"]: line for line in RunDirectory(combined).journal.lines()}
    chosen = rounds[model.card.provenance.step]["flow"]
    assert chosen["weight"] == model.card.mean.flow
    assert chosen["alone"]["mse"] > 0
    assert model.card.mean_in_words == f"shrunken base + {model.card.mean.flow:.2g} x flow, " + (
        "shape 0.25"
    )
    with Store.open(run.store) as store:
        plan = make_plan(run, store)
        assert model.card.mean.units == len(plan.validation)
        cells = whole_units(store, known_conditions(plan.split, store))
        whole = fit(measured_units(store, cells, columns=plan.genes.model))
    np.testing.assert_array_equal(model.base.effects, whole.effects)
    assert model.base.tokens == whole.tokens


def test_an_untrained_flow_that_is_the_base_has_no_weight_and_the_bases_score(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    model = {"width": 16, "layers": 1, "base_channel": True, "base_velocity": True}
    run = combining(tiny_store_path, tmp_path, model=model, source="other_control")
    train_here(run, on_round=lambda outcome: False)
    first = next(line for line in RunDirectory(run.directory).journal.lines() if "flow" in line)
    assert (first["step"], first["flow"]["weight"]) == (0, 0)
    assert first["flow"]["square"] == [0] * len(first["flow"]["square"])
    alone = first["flow"]["alone"]
    assert alone == pytest.approx({name: first["validation"][name] for name in alone}, rel=1e-6)


def test_a_stopped_run_ends_with_the_same_base_weight_and_journal(
    tiny_store_path: Path, tmp_path: Path, combined: Path
) -> None:
    parts = combining(tiny_store_path, tmp_path)
    train_here(parts, on_round=lambda outcome: outcome.step < 2)
    train_here(parts)
    (weights, base, card), (old_weights, old_base, old_card) = (
        files(parts.directory),
        files(combined),
    )
    assert (weights, base) == (old_weights, old_base)
    assert json.loads(card)["mean"] == json.loads(old_card)["mean"]
    journals = [
        [(line["step"], line["validation"], line["flow"]) for line in lines if "validation" in line]
        for lines in (RunDirectory(one).journal.lines() for one in (parts.directory, combined))
    ]
    assert journals[0] == journals[1]


def test_with_folds_the_weight_is_that_of_the_units_of_all_folds(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    run = combining(tiny_store_path, tmp_path, validation={"cells": 8, "steps": 2, "folds": 2})
    trained = RunDirectory(train_here(run).directory)
    assert trained.manifest is not None
    assert trained.manifest.folds is not None
    last, told = trained.manifest.folds.step, list[FlowRound]()
    for fold in trained.folds:
        lines = [line for line in fold.journal.lines() if "flow" in line and line["step"] == last]
        told += [FlowRound.model_validate(line["flow"]) for line in lines]
    both, square = ([x for one in told for x in getattr(one, of)] for of in ("both", "square"))
    expected = weigh(Evidence(np.array(both), np.array(square)))
    card = load_model(trained.path / "model").card
    assert card.mean == expected.model_copy(update={"guess": trained.manifest.folds.guess})
    assert expected.units == len(both) > len(told[0].both)
