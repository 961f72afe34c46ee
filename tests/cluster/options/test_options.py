"""Facts of runs with options beyond the paper: they go on, come back from disk and predict."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cluster.runs.directory import RunDirectory
from cluster.runs.plan import Plan, make_plan
from cluster.settings.config import RunConfig, make_run
from cluster.train import train_here
from cluster.work.build import untrained
from cluster.work.channel import with_channel
from cluster.work.controls import StoreControls
from cluster.work.model_sampler import sampler_of
from cluster.work.sampler import starting_cells
from data_store.store.reader import Store
from scdfm.flow.checkpoint import load_model
from tests.cluster.small import settings

pytestmark = pytest.mark.slow

ALL: dict[str, Any] = {
    "model": {
        "width": 16,
        "layers": 1,
        "pooling": "sum",
        "rank": 5,
        "token_dropout": 0.3,
        "base_channel": True,
        "base_velocity": True,
    },
    "training": {
        "steps": 6,
        "learning_rate": 1e-3,
        "validate_every": 2,
        "log_every": 1,
        "ema": 0.9,
        "average_rounds": 2,
    },
    "sampling": {"steps": 2, "batch": 16, "guidance": 1.5},
    "loss": {"mmd_weight": 0.5, "times": "logit_normal", "pairs": "optimal", "mmd_cells": 6},
}


def made(store: Path, output: Path, **changes: Any) -> RunConfig:
    return make_run(settings(store, output, **(ALL | changes)), where="test")


def test_a_stopped_run_with_every_option_ends_with_the_same_bytes(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    whole, parts = (made(tiny_store_path, tmp_path / name) for name in "ab")
    train_here(whole)
    assert not train_here(parts, on_round=lambda outcome: outcome.step < 2).finished
    assert train_here(parts).finished
    states = [RunDirectory(run.directory).states.newest for run in (whole, parts)]
    for places in ([run.directory / "model" for run in (whole, parts)], states):
        ours, theirs = ((place / "model.safetensors").read_bytes() for place in places if place)
        assert ours == theirs
    predicts_from_disk(whole)


def predicts_from_disk(run: RunConfig) -> None:
    """What the model was given is on disk, and decides what it predicts."""
    model = load_model(run.directory / "model")
    with Store.open(run.store) as store:
        plan = Plan.load(run.directory, run=run, store=store)
        plan, _ = with_channel(plan, run, store)
        assert plan.given.keys() == model.field.given.keys()
        for name, fact in plan.given.items():
            assert torch.equal(model.field.given[name], fact)
        controls = StoreControls(store, plan.genes.model)
        [context, *_] = store.controls
        condition = store.conditions[plan.split.test[0]]
        start = starting_cells(controls.rows(context), condition=condition, cells=4, seed=0)
        start = start._replace(context=context)
        sampler = sampler_of(model, genes=np.arange(24), seed=0, products=None)
        assert np.isfinite(sampler.cells(controls, start, condition=condition)).all()


def test_a_plan_gives_what_options_ask_and_nothing_else(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    run = made(tiny_store_path, tmp_path)
    with Store.open(tiny_store_path) as store:
        plan = make_plan(run, store)
        plan.save(tmp_path)
        assert (tmp_path / "given.safetensors").is_file()
        assert plan.given["low_rank.components"].norm(dim=0) == pytest.approx([1] * 5)
        lost = replace(plan, given={})
        lost.save(tmp_path)
        assert Plan.load(tmp_path, run=run, store=store).given == {}
    with pytest.raises(ValueError, match="has lost base_channel") as caught:
        untrained(run, lost)
    assert "\n" not in str(caught.value)


def test_noise_has_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"source noise does not start from cells; set loss\.pairs"
    ):
        made(tmp_path, tmp_path, source="noise")


def test_guidance_without_an_unknown_token_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no step would train; set model\.token_dropout"):
        made(tmp_path, tmp_path, model={"width": 16})


def test_a_rank_that_limits_nothing_is_refused(tmp_path: Path) -> None:
    message = r"got model\.rank=16 and 16 genes; lower it, or raise batch\.genes"
    with pytest.raises(ValueError, match=message):
        make_run(settings(tmp_path, tmp_path, model={"width": 16, "rank": 16}), where="test")
