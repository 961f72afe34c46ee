from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.settings.config import make_run
from sweeps import SweepConfig, read_sweep, shipped_sweeps
from sweeps.schema.rules import ObjectiveConfig

K = {"type": "int", "low": 5, "high": 30}


def fault(settings: dict[str, Any], folder: Path) -> str:
    """What reading the sweep complains about."""
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(ValueError, match=r"sweep\.yaml") as complaint:
        read_sweep(path)
    assert "\n" not in str(complaint.value)
    return str(complaint.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spcae": {}}, "did you mean 'space'?"),
        ({"objective": {"metric": "msee"}}, "did you mean 'mse'?"),
        ({"objective": {"metric": "mse", "mode": "max"}}, "use 'min'"),
        ({"space": {"grpah.k": K}}, "did you mean 'graph.k'?"),
        ({"space": {"graph.k": {**K, "lwo": 1}}}, "did you mean 'space.graph.k.low'?"),
        ({"space": {"graph.k": {**K, "low": 40}}}, "low must not be above high"),
        ({"space": {"split.fold": K}}, "use splits next to base"),
        ({"space": {"validation.cells": K}}, "judged alike"),
        ({"space": {}}, "space must hold at least 1 setting, or configurations at least 2"),
        ({"base": {"store": "s", "model": {"widht": 8}}}, "did you mean 'model.width'?"),
        ({"base": {"model": {"width": 8}}}, "store is missing"),
        ({"base": {"store": "s", "name": "mine"}}, "set name next to base"),
        ({"base": {"store": "s", "validation": {"metric": "mae"}}}, "make them equal"),
        ({"base": {"store": "s", "ensemble": 2}}, "a sweep compares single models"),
        ({"splits": []}, "splits is missing"),
        ({"splits": [{"kind": "additive"}, {"kind": "additive", "fold": 0}]}, "must differ"),
        ({"resources": {"workers": 2, "gpu": 0.5}}, "one GPU or none"),
        ({"resources": {"workers": 2, "parallel_splits": 2}}, "exclude each other"),
        ({"resources": {"workers": 2}, "final": {"retrain": True}}, "in one process"),
        ({"resources": {"workers": 2, "gpu": 1}, "limits": {"memory": 8}}, "limits.memory and"),
        ({"resources": {"workers": 2}, "output": "s3://bucket/sweeps"}, "that all nodes see"),
        ({"resources": {"gpu": 1.5}}, "whole number"),
        ({"prune": {"scheduler": "none", "grace": 3}}, "grace belongs to scheduler asha or median"),
        (
            {"prune": {"scheduler": "median", "factor": 4}},
            "prune: factor belongs to scheduler asha",
        ),
        ({"prune": {"least": 9}}, "prune: least belongs to scheduler median"),
        ({"prune": {"scheduler": "none", "factor": 4}}, "prune: factor belongs to scheduler asha"),
        ({"search": {"sampler": "random", "startup": 3}}, "search: startup belongs to sampler tpe"),
        ({"search": {"sampler": "tpa"}}, "'cmaes' or 'nsga2', got 'tpa'; did you mean 'tpe'?"),
        ({"prune": {"grace": 5}}, "at most the 4 validation rounds"),
        ({"budget": {"concurrent": "all"}}, "auto or a whole number"),
        ({"budget": {"trials": 0}}, "greater than 0"),
        ({"version": 2}, "version: expected 1, got 2; set it to 1"),
    ],
)
def test_a_sweep_that_could_not_run_is_refused_in_one_line(
    tiny: dict[str, Any], tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    assert words in fault(tiny | change, tmp_path)


def test_a_choice_that_no_run_accepts_is_found_before_anything_starts(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    space = {"model.heads": {"type": "choice", "values": [1, 3]}}
    assert "model.heads=3, which cannot run: model: heads must divide width" in fault(
        tiny | {"space": space}, tmp_path
    )


def test_two_choices_that_contradict_each_other_are_found(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    space = {
        "model.heads": {"type": "choice", "values": [1, 16]},
        "model.width": {"type": "choice", "values": [16, 24]},
    }
    assert "model.heads=16, model.width=24" in fault(tiny | {"space": space}, tmp_path)


def test_fractions_of_a_whole_setting_are_found(tiny: dict[str, Any], tmp_path: Path) -> None:
    space = {"graph.k": {"type": "float", "low": 5, "high": 30}}
    assert "which cannot run: graph.k" in fault(tiny | {"space": space}, tmp_path)


def test_asha_refuses_a_space_that_changes_what_a_round_is(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    steps = {"space": {"training.steps": {"type": "choice", "values": [2, 4]}}}
    assert "set prune.scheduler to none" in fault(tiny | steps, tmp_path)
    SweepConfig.model_validate(tiny | steps | {"prune": {"scheduler": "none"}})


def test_asha_refuses_folds_since_a_trial_with_them_has_no_early_round(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    base = {**tiny["base"], "validation": {"folds": 2}}
    assert "set prune.scheduler to none" in fault(tiny | {"base": base}, tmp_path)
    SweepConfig.model_validate(tiny | {"base": base, "prune": {"scheduler": "none"}})


def test_the_mode_follows_from_the_metric() -> None:
    assert ObjectiveConfig(metric="pearson_delta").direction == "max"
    assert ObjectiveConfig(metric="mse").direction == "min"


def test_every_run_keeps_the_model_that_the_objective_calls_best(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny | {"objective": {"metric": "mae"}})
    assert sweep.run({}, split=1).validation.metric == "mae"


def test_a_run_file_can_be_the_base(tiny: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run.yaml"
    run.write_text(yaml.safe_dump({**tiny["base"], "name": "n", "split": {"kind": "additive"}}))
    without = {name: value for name, value in tiny.items() if name != "splits"}
    sweep = SweepConfig.model_validate(without | {"base": str(run)})
    assert [split.kind for split in sweep.splits] == ["additive"]
    both = SweepConfig.model_validate(tiny | {"base": str(run)})
    assert [split.kind for split in both.splits] == ["additive", "holdout"]


def test_overrides_reach_into_a_graph_that_is_named_in_one_word(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(tiny | {"base": tiny["base"] | {"graph": "spearman"}}))
    sweep = read_sweep(path, overrides={"base.graph.positive": True})
    graph = sweep.run({"graph.k": 8}, split=0).graph
    assert (graph.kind, graph.k, graph.positive) == ("spearman", 8, True)
    with pytest.raises(ValueError, match=r"no 'grph\.k' .*; did you mean 'graph\.k', or give all"):
        read_sweep(path, overrides={"space.grph.k.low": 2})


def test_a_base_file_that_is_missing_is_named(tiny: dict[str, Any]) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        SweepConfig.model_validate(tiny | {"base": "nowhere.yaml"})


def test_overrides_reach_into_a_base_that_is_a_file(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tiny["base"] | {"name": "r", "output": "o", "split": {"kind": "additive", "fold": 3}}
    Path("run.yaml").write_text(yaml.safe_dump(run))
    Path("sweep.yaml").write_text(yaml.safe_dump(tiny | {"base": "run.yaml"}))
    sweep = read_sweep("sweep.yaml", overrides={"base.store": "b.zarr", "base.model.layers": 2})
    assert (sweep.base["store"], sweep.base["model"]) == ("b.zarr", {"width": 16, "layers": 2})
    assert sweep.splits == SweepConfig.model_validate(tiny).splits


def test_overrides_know_that_names_of_a_space_hold_dots(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sweep.yaml").write_text(yaml.safe_dump(tiny))
    dropout = {"type": "float", "low": 0.0, "high": 0.5}
    sweep = read_sweep(
        "sweep.yaml", overrides={"space.graph.k.high": 8, "space.model.dropout": dropout}
    )
    assert (sweep.space["graph.k"].low, sweep.space["graph.k"].high) == (4, 8)
    assert sweep.space["model.dropout"].high == 0.5
    listed = {"one": {"graph.k": 4}, "two": {"graph.k": 8}}
    plain = {name: tiny[name] for name in ("name", "base", "splits")}
    Path("list.yaml").write_text(yaml.safe_dump(plain | {"configurations": listed}))
    sweep = read_sweep("list.yaml", overrides={"configurations.two.graph.k": 12})
    assert sweep.configurations == {"one": {"graph.k": 4}, "two": {"graph.k": 12}}


def test_overrides_change_single_values() -> None:
    assert read_sweep("demo", overrides={"budget.trials": 77}).budget.trials == 77


PAPER: dict[str, Any] = {
    "genes": {"model": 5000, "evaluation": 1000},
    "graph": {"kind": "pearson", "k": 30},
    "model": {"width": 512, "layers": 4, "dropout": 0.1},
    "source": "noise",
    "loss": {"mmd_weight": 0.5},
    "batch": {"conditions": 1, "cells": 96, "genes": 1000},
    "training": {
        "steps": 100000,
        "learning_rate": 5e-5,
        "final_learning_rate": 1e-6,
        "validate_every": 5000,
    },
}
SMALL: dict[str, Any] = {
    "graph": {"kind": "pearson", "k": 10},
    "source": "other_control",
    "loss": {"mmd_weight": 0.5},
}
BRIEF = {"warmup": 20, "clip_norm": 1.0, "ema": 0.99, "validate_every": 150}
RESOLVED: dict[str, dict[str, Any]] = {
    "norman": PAPER,
    "combosciplex": PAPER,
    "ablation": PAPER,
    "demo": {
        **SMALL,
        "genes": {"model": 80, "evaluation": 64},
        "model": {
            "width": 64,
            "layers": 1,
            "dropout": 0.0,
            "base_channel": True,
            "base_velocity": True,
        },
        "batch": {"conditions": 16, "cells": 8, "genes": 64},
        "training": {
            "steps": 600,
            "learning_rate": 2e-3,
            "final_learning_rate": 2e-5,
            **BRIEF,
        },
        "validation": {"cells": 64, "metric": "mmd2"},
        "sampling": {"steps": 5, "mean": "shrunken"},
    },
    "norman_subset": {
        **SMALL,
        "genes": {"model": 300, "evaluation": 300},
        "model": {
            "width": 48,
            "layers": 1,
            "dropout": 0.0,
            "base_channel": True,
            "base_velocity": True,
        },
        "batch": {"conditions": 12, "cells": 8, "genes": 80},
        "training": {
            "steps": 900,
            "learning_rate": 3e-3,
            "final_learning_rate": 3e-5,
            **BRIEF,
        },
        "validation": {"cells": 100, "metric": "mmd2"},
        "sampling": {"mean": "shrunken"},
    },
}


@pytest.mark.parametrize("name", RESOLVED)
def test_presets_leave_the_shipped_sweeps_with_the_settings_they_had(name: str) -> None:
    sweep = read_sweep(name)
    expected = {
        **RESOLVED[name],
        "store": f"stores/{'norman' if name == 'ablation' else name}.zarr",
        "name": "split-0",
        "output": f"runs/{name}",
        "split": sweep.splits[0],
    }
    assert sweep.run({}, split=0) == make_run(expected, where="test")


@pytest.mark.parametrize("name", ["demo", "norman_subset", "norman", "combosciplex"])
def test_the_sweeps_that_ship_can_run(name: str) -> None:
    assert name in shipped_sweeps()
    sweep = read_sweep(name)
    assert sweep.name == name
    assert all(one.holds(sweep.baseline[setting]) for setting, one in sweep.space.items())


def test_the_norman_sweep_is_the_papers_setting() -> None:
    sweep = read_sweep("norman")
    run = sweep.run({}, split=0)
    assert sweep.space["model.width"].values == (128, 256, 512)
    assert [split.fold for split in sweep.splits] == [0, 1, 2, 3]
    assert (run.training.steps, run.training.learning_rate) == (100_000, 5e-5)
    assert (run.batch.conditions, run.batch.cells, run.batch.genes) == (1, 96, 1000)
    assert (run.model.layers, run.source, sweep.resources.gpu) == (4, "noise", 1)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(FileNotFoundError, match="did you mean 'norman'"):
        read_sweep("normann")


def test_a_base_whose_validation_holds_no_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "name: s\nbase: {store: s, validation: text}\nsplits: [{kind: additive}]\n"
        "objective: {metric: mse}\nspace: {graph.k: {type: int, low: 2, high: 4}}\n"
    )
    with pytest.raises(ValueError, match=r"base\.validation must hold settings, got 'text'"):
        read_sweep(path)
