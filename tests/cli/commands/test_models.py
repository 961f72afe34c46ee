"""Train, tune, evaluate and predict on the command line, on a tiny store through Ray."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import anndata
import pytest
import yaml

from cli.main import run
from cluster.session import session
from tests.cli.conftest import Call

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(240)]

SETTINGS = {
    "genes": {"model": 60, "evaluation": 40},
    "graph": {"k": 5},
    "model": {"width": 16, "layers": 1, "heads": 2},
    "batch": {"cells": 8, "genes": 30, "conditions": 2},
    "training": {"steps": 4, "validate_every": 2, "log_every": 2, "learning_rate": 1e-3},
    "validation": {"cells": 8, "steps": 2},
    "sampling": {"steps": 2},
}
SPLIT = {"kind": "additive", "fraction": 0.4}


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    """One Ray for all commands here; each would start its own otherwise."""
    with session(cpus=2):
        yield


@pytest.fixture(scope="module")
def trained(tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run file, its run and its model."""
    folder = tmp_path_factory.mktemp("cli")
    values = {
        "store": str(tiny_store_path),
        "name": "tiny",
        "output": str(folder / "runs"),
        "split": SPLIT,
        **SETTINGS,
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(values))
    assert run(["train", str(folder / "run.yaml"), "--set", "model.width=8"]) == 0
    return folder


@pytest.fixture(scope="module")
def model(trained: Path) -> Path:
    return trained / "runs" / "tiny" / "model"


def test_training_says_where_the_model_is(scdfm: Call, trained: Path, model: Path) -> None:
    called = scdfm("train", trained / "run.yaml", "--set", "model.width=8", "--json")
    assert called.status == 0
    result = json.loads(called.out)
    assert result["model"] == str(model)
    assert result["finished"] is True


def test_a_setting_of_the_command_line_reaches_the_run(trained: Path) -> None:
    saved = yaml.safe_load((trained / "runs" / "tiny" / "run.yaml").read_text())
    assert saved["model"]["width"] == 8


def test_a_run_does_not_become_another_run(scdfm: Call, trained: Path) -> None:
    called = scdfm("train", trained / "run.yaml", "--set", "model.width=32")
    assert called.status == 2
    assert "model.width" in called.error


def test_more_workers_than_cores_are_refused(scdfm: Call, trained: Path) -> None:
    wide = ("--set", "name=wide", "--workers", 64, "--cpus-per-worker", 4)
    called = scdfm("train", trained / "run.yaml", *wide)
    assert called.status == 2
    assert "64 workers of 4 CPUs" in called.error


def test_an_evaluation_shows_every_row_and_writes_every_score(
    scdfm: Call, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.csv"
    called = scdfm("evaluate", trained / "runs" / "tiny", "--untrained", "--out", out)
    assert called.status == 0, called.err
    baselines = ["shrunken", "scaled", "additive", "linear", "perturbed mean", "control"]
    rows = ["scDFM", "untrained", *baselines, "noise ceiling"]
    for row in rows:
        assert f"  {row}  " in called.out
    assert "context line1" in called.out
    with out.open() as file:
        lines = list(csv.DictReader(file))
    assert list(dict.fromkeys(line["row"] for line in lines)) == rows
    assert {line["scope"] for line in lines} == {"overall", "context", "condition"}


def test_an_evaluation_as_json_is_one_document(
    scdfm: Call, model: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.json"
    options = ("--store", tiny_store_path, "--cells", 4, "--json", "--out", out)
    called = scdfm("evaluate", model, *options)
    printed = json.loads(called.out)
    assert printed == json.loads(out.read_text())
    assert "untrained" not in printed["tables"]
    assert printed["tables"]["control"]["overall"]["pearson_delta"]["value"] is None


def test_predicted_cells_have_the_conditions_asked_for(
    scdfm: Call, model: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    card = json.loads((model / "model.json").read_text())
    first, second, *_ = card["perturbations"]
    wanted, out = tmp_path / "wanted.csv", tmp_path / "new.h5ad"
    wanted.write_text(f"condition\n{second}+{first}\n{first}\n")
    genes = card["genes"][:3]
    called = scdfm(
        "predict", model, "--store", tiny_store_path, "--conditions", wanted, "--cells", 5,
        "--genes", ",".join(genes), "--contexts", "line2", "--out", out, "--actors", 2,
    )  # fmt: skip
    assert called.status == 0, called.err
    assert called.out == f"predictions {out}\n"
    cells = anndata.read_h5ad(out)
    assert cells.shape == (10, 3)
    assert list(cells.var_names) == genes
    assert set(cells.obs["condition"]) == {f"{first}+{second}", first}
    assert set(cells.obs["context"]) == {"line2"}
    facts = json.loads(scdfm("inspect", out, "--json").out)
    assert (facts["kind"], facts["cells"], facts["genes"]) == ("prediction", 10, 3)


def test_a_predicted_zarr_verifies_until_a_bit_flips(
    scdfm: Call, model: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    first = json.loads((model / "model.json").read_text())["perturbations"][0]
    out = tmp_path / "new.zarr"
    arguments = ("--store", tiny_store_path, "--conditions", first, "--cells", 4, "--out", out)
    assert scdfm("predict", model, *arguments).status == 0
    assert scdfm("predict", model, *arguments).status == 0  # done already
    assert scdfm("verify", out).status == 0
    shard = next((out / "X" / "c").rglob("0/0"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0")
    assert "X/c/0/0" in scdfm("verify", out).error


def test_a_token_that_the_model_does_not_know_names_the_nearest(
    scdfm: Call, model: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    first = json.loads((model / "model.json").read_text())["perturbations"][0]
    called = scdfm(
        "predict", model, "--store", tiny_store_path, "--conditions", f"{first.lower()}x",
        "--out", tmp_path / "new.h5ad",
    )  # fmt: skip
    assert called.status == 2
    assert f"'{first}'" in called.error
    assert list(tmp_path.iterdir()) == []


def test_inspect_knows_runs_and_models(scdfm: Call, trained: Path, model: Path) -> None:
    described = json.loads(scdfm("inspect", model, "--json").out)
    assert described["kind"] == "model"
    described = json.loads(scdfm("inspect", trained / "runs" / "tiny", "--json").out)
    assert described["kind"] == "run"
    assert "split.kind" in scdfm("inspect", trained / "runs" / "tiny").out


def test_a_sweep_ends_with_a_leaderboard_and_a_model(
    scdfm: Call, tiny_store_path: Path, tmp_path: Path
) -> None:
    sweep = {
        "version": 1,
        "name": "tiny",
        "output": str(tmp_path / "runs"),
        "base": {"store": str(tiny_store_path), **SETTINGS},
        "splits": [SPLIT],
        "space": {"graph.k": {"type": "int", "low": 3, "high": 9}},
        "budget": {"trials": 5},
    }
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep))
    called = scdfm("tune", path, "--set", "budget.trials=2")
    assert called.status == 0, called.err
    assert "graph.k" in called.out
    best = tmp_path / "runs" / "tiny" / "best"
    assert f"best model   {best}" in called.out
    again = json.loads(scdfm("tune", path, "--set", "budget.trials=2", "--json").out)
    assert again["best_model"] == str(best)
    assert len(again["leaderboard"]) == 2
    assert scdfm("inspect", best).status == 0
    whole = json.loads(scdfm("inspect", best.parent, "--json").out)
    assert whole["best"]["trial"] == again["leaderboard"][0]["trial"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("spaec={}", "'space'"),
        ("space={graph.k: {type: int, low: 9, high: 3}}", "low"),
        ("objective={metric: msee}", "'mse'"),
    ],
    ids=["unknown key", "low above high", "no such metric"],
)
def test_a_sweep_that_cannot_run_is_refused(
    scdfm: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    called = scdfm("tune", "demo", "--set", change)
    assert called.status == 2
    assert words in called.error
    assert list(tmp_path.iterdir()) == []
