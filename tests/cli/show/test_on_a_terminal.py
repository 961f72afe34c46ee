"""Every command that draws progress, once on a terminal of 80 x 24, each by itself."""

from pathlib import Path

import anndata
import pytest
import yaml

from cluster.settings.config import make_run
from cluster.train import train_here
from tests.terminal import Ended, Screen, on_terminal

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(600)]

TRAINING = {"steps": 4, "validate_every": 2, "learning_rate": 1e-3}
RUN = {
    "name": "tiny",
    "store": "tiny.zarr",
    "split": {"kind": "additive"},
    "genes": {"model": 60, "evaluation": 30},
    "graph": {"k": 4},
    "model": {"width": 16, "layers": 1},
    "source": "control",
    "batch": {"conditions": 2, "cells": 8, "genes": 30},
    "training": TRAINING,
    "validation": {"cells": 8, "units": 4, "steps": 2},
}
SPACE = {
    "training.learning_rate": {"type": "float", "low": 1e-4, "high": 1e-3, "log": True},
    "loss.mmd_weight": {"type": "float", "low": 0.01, "high": 10, "log": True},
    "graph.k": {"type": "int", "low": 4, "high": 12, "step": 4},
    "model.width": {"type": "choice", "values": [8, 16]},
}


@pytest.fixture(scope="module")
def home(tiny_h5ad: Path, tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with cells, a store, a run file and a sweep file.

    Tests write to names of their own, and none reads what another wrote.
    """
    folder = tmp_path_factory.mktemp("home")
    (folder / "tiny.h5ad").symlink_to(tiny_h5ad)
    (folder / "tiny.zarr").symlink_to(tiny_store_path)
    (folder / "run.yaml").write_text(yaml.safe_dump(RUN))
    base = {name: value for name, value in RUN.items() if name not in ("name", "split")}
    sweep = {
        "name": "search", "base": base, "splits": [{"kind": "additive"}], "space": SPACE,
        "search": {"seed": 3, "startup": 2}, "budget": {"trials": 2, "concurrent": 1},
    }  # fmt: skip
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    return folder


@pytest.fixture(scope="module")
def model(home: Path) -> Path:
    """A model in it, trained without a terminal."""
    place = {"name": "ready", "store": str(home / "tiny.zarr"), "output": str(home / "runs")}
    return train_here(make_run({**RUN, **place}, where="test")).model.relative_to(home)


def shown(ended: Ended) -> list[str]:
    """The lines on the screen at the end, after looking for what must never be there."""
    screen = Screen(ended.text)
    assert ended.status == 0, screen.lines
    assert not screen.overrun
    assert screen.cursor
    assert "…" not in ended.text
    assert "Traceback" not in ended.text
    assert ended.left == []
    return ended.lines


def test_simulate(home: Path) -> None:
    lines = shown(on_terminal("simulate", "more.h5ad", "--cells", 300, "--genes", 40, cwd=home))
    assert lines[-1].startswith("more.h5ad: 300 cells x 40 genes")


def test_ingest(home: Path) -> None:
    lines = shown(on_terminal("ingest", "tiny.h5ad", "new.zarr", "--context", "context", cwd=home))
    assert "new.zarr: 600 cells x 60 genes" in " ".join(lines)


def test_verify(home: Path) -> None:
    lines = shown(on_terminal("verify", "tiny.zarr", cwd=home))
    assert lines[-1] == "tiny.zarr: nothing has changed since it was written"


def test_export(home: Path) -> None:
    arguments = ("export", "tiny.zarr", "cells.h5ad", "--conditions", "control")
    assert shown(on_terminal(*arguments, cwd=home))[-1].startswith("cells.h5ad")


def test_train(home: Path) -> None:
    ended = on_terminal("train", "run.yaml", cwd=home)
    lines = shown(ended)
    assert lines[-1] == "model       runs/tiny/model"
    (bar,) = [line for line in lines if line.startswith("train ")]
    assert "4/4 steps" in bar
    # What is done is said before there is anything to count.
    assert "starting Ray" in ended.text
    assert ended.text.index("starting Ray") < ended.text.index("0/4 steps")


def test_tune(home: Path) -> None:
    lines = shown(on_terminal("tune", "sweep.yaml", cwd=home))
    assert lines[-3].startswith("best model   runs/search/best")
    assert lines[-2].startswith("choice       trial ")
    assert lines[-1:] == [
        "leaderboard  runs/search/leaderboard.csv",
    ]
    words = set(" ".join(lines).split())
    assert {"2/2", "training.learning_rate", "loss.mmd_weight", "graph.k", "model.width"} <= words


def test_evaluate(home: Path, model: Path) -> None:
    lines = shown(on_terminal("evaluate", model, "--cells", 16, cwd=home))
    words = set(" ".join(lines).split())
    assert {"scDFM", "control", "perturbed", "mse", "pearson_delta"} <= words


def test_predict(home: Path, model: Path, tiny_adata: anndata.AnnData) -> None:
    single = next(one for one in tiny_adata.obs["condition"] if "+" not in one and one != "control")
    arguments = ("predict", model, "--store", "tiny.zarr", "--conditions", single)
    ended = on_terminal(*arguments, "--cells", 20, "--out", "new.h5ad", cwd=home)
    assert shown(ended)[-1] == "predictions new.h5ad"
