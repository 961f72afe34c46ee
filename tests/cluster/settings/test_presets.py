"""Facts of presets: what they fill in, and what they leave to the user."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.settings.config import RunConfig, make_run, read_run, write_run
from cluster.settings.presets import NAMES, preset, with_preset
from cluster.train import train_here
from scdfm.model.networks import NETWORKS
from scdfm.model.paper import ModelConfig

OWN: dict[str, Any] = {"store": "s.zarr", "name": "n", "split": {"kind": "additive"}}


@pytest.mark.parametrize("name", NAMES)
def test_the_run_file_that_is_written_needs_no_preset_any_more(tmp_path: Path, name: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump({**OWN, "preset": name, "model": {"layers": 3}}))
    run = read_run(file)
    write_run(run, tmp_path / "resolved.yaml")
    spelled_out = yaml.safe_load((tmp_path / "resolved.yaml").read_text())
    assert "preset" not in spelled_out
    assert spelled_out.keys() == RunConfig.model_fields.keys()
    assert read_run(tmp_path / "resolved.yaml") == run
    assert run.model.layers == 3
    assert run.model.width == preset(name)["model"]["width"]


def test_norman_is_the_papers_setting() -> None:
    run = make_run({"store": "s", "name": "n", "preset": "norman"}, where="test")
    training = run.training
    assert (training.learning_rate, training.final_learning_rate) == (5e-5, 1e-6)
    assert (training.steps, run.batch.conditions, run.batch.cells) == (100_000, 1, 96)
    assert (run.model.width, run.model.layers, run.model.head_count) == (512, 4, 8)
    assert (run.graph.kind, run.graph.k, run.model.dropout) == ("pearson", 30, 0.1)
    assert (run.source, run.loss.mmd_weight, run.split.kind) == ("noise", 0.5, "additive")


def test_combosciplex_differs_from_norman_by_its_split() -> None:
    norman, drugs = preset("norman"), preset("combosciplex")
    assert drugs.pop("split") == {"kind": "combosciplex"}
    assert norman.pop("split") == {"kind": "additive", "fold": 0}
    assert drugs == norman


def test_what_the_user_sets_wins_over_the_preset() -> None:
    run = make_run(
        {**OWN, "preset": "small", "source": "noise", "batch": {"cells": 5}},
        where="test",
        overrides={"training.steps": 77},
    )
    assert (run.source, run.batch.cells, run.training.steps) == ("noise", 5, 77)
    small = preset("small")
    assert (run.batch.conditions, run.training.ema) == (
        small["batch"]["conditions"],
        small["training"]["ema"],
    )


def test_another_kind_takes_none_of_the_presets_options() -> None:
    values = {"preset": "small", "graph": {"kind": "edges", "path": "e.csv"}, "genes": {"model": 9}}
    assert with_preset(values)["graph"] == {"kind": "edges", "path": "e.csv"}
    assert with_preset({"preset": "small", "graph": {"positive": True}})["graph"] == {
        "kind": "pearson",
        "k": 10,
        "positive": True,
    }
    assert with_preset({"preset": "small", "graph": "none"})["graph"] == "none"
    run = make_run({**OWN, "preset": "norman", "split": {"kind": "holdout"}}, where="test")
    assert (run.split.kind, run.split.genes) == ("holdout", None)


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_goes_with_every_network(name: str) -> None:
    for variant in NETWORKS:
        run = make_run({**OWN, "preset": name, "model": {"variant": variant}}, where="t")
        assert run.model.width == preset(name)["model"]["width"]
        small = name == "small" and variant == "paper"
        assert run.model.base_channel == run.model.base_velocity == small
    with pytest.raises(ValueError, match="which has no base_channel, got True"):
        make_run(
            {**OWN, "preset": name, "model": {"variant": "release", "base_channel": True}},
            where="t",
        )


def test_a_preset_guesses_no_velocity_from_a_channel_that_is_off() -> None:
    model = {"base_channel": False}
    run = make_run({**OWN, "preset": "small", "model": model}, where="t")
    assert not run.model.base_velocity
    assert run.model.width == preset("small")["model"]["width"]


def test_a_preset_can_be_an_override_and_sections_can_be_typed() -> None:
    run = make_run({**OWN, "model": ModelConfig(layers=2)}, where="t", overrides={"preset": "tiny"})
    assert (run.model.layers, run.model.width) == (2, 16)


@pytest.mark.parametrize("name", ["normann", 3, None, ["small"]])
def test_an_unknown_preset_is_told_all_there_are(name: object) -> None:
    with pytest.raises(ValueError, match="use one of norman, combosciplex, small, tiny") as caught:
        make_run({**OWN, "preset": name}, where="run.yaml")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("run.yaml: preset")


@pytest.mark.slow
def test_the_tiny_preset_trains(tiny_store_path: Path, tmp_path: Path) -> None:
    run = make_run(
        {**OWN, "store": str(tiny_store_path), "output": str(tmp_path), "preset": "tiny"},
        where="test",
    )
    assert train_here(run).finished
