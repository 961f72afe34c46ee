"""Facts about the example in examples/plugins: added from outside, used by the same commands."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

EXAMPLE = Path(__file__).parents[1] / "examples" / "plugins"
TREE = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the path that holds the example as an installer would leave it."""
    folder = tmp_path_factory.mktemp("site")
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    (folder / "scdfm_example").symlink_to(EXAMPLE / "scdfm_example")
    facts = folder / f"scdfm_example-{project['version']}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (facts / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


def scdfm(installed: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own that sees the example."""
    path = os.pathsep.join([str(installed), str(TREE), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def run_file(folder: Path, store: Path, **changes: object) -> Path:
    path = folder / "run.yaml"
    values = {
        "store": str(store),
        "name": "ridge",
        "output": str(folder / "runs"),
        "method": "ridge",
        "split": {"kind": "leave_one_out", "fold": 1},
        "genes": {"model": 24, "evaluation": 12},
        "graph": "none",
        "batch": {"conditions": 4, "cells": 8, "genes": 24},
        "training": {"steps": 200, "learning_rate": 0.02, "validate_every": 100},
        "validation": {"metric": "sign_agreement", "cells": 8},
        "threads": 1,
    }
    path.write_text(yaml.safe_dump(values | changes))
    return path


@pytest.mark.parametrize("name", ["metric", "split", "linear"])
def test_each_addition_takes_fewer_than_sixty_lines(name: str) -> None:
    lines = (EXAMPLE / "scdfm_example" / f"{name}.py").read_text().splitlines()
    assert len(lines) < 60


@pytest.mark.slow
def test_a_split_kind_from_outside_is_an_option_of_the_command(
    installed: Path, tiny_store_path: Path
) -> None:
    assert "leave_one_out" in scdfm(installed, "split", "--help").stdout.replace("\n", "")
    done = scdfm(installed, "split", tiny_store_path, "--kind", "leave_one_out", "--fold", "2")
    assert done.returncode == 0, done.stderr
    without = scdfm(Path("nowhere"), "split", tiny_store_path, "--kind", "leave_one_out")
    assert without.returncode == 2


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_linear_model_from_outside_goes_through_all_commands(
    installed: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    run = run_file(tmp_path, tiny_store_path)
    trained = scdfm(installed, "train", run, "--json")
    assert trained.returncode == 0, trained.stderr
    assert not list((tmp_path / "runs" / "ridge").rglob("*.pkl"))

    judged = scdfm(installed, "evaluate", tmp_path / "runs" / "ridge", "--json", "--untrained")
    assert judged.returncode == 0, judged.stderr
    tables = json.loads(judged.stdout)["tables"]
    assert "sign_agreement" in tables["ridge"]["overall"]
    assert tables["ridge"]["overall"]["mse"] != tables["untrained"]["overall"]["mse"]

    out = tmp_path / "cells.zarr"
    asked = ["--store", tiny_store_path, "--conditions", _single(tiny_store_path), "--cells", 4]
    made = scdfm(installed, "predict", tmp_path / "runs" / "ridge", *asked, "--out", out)
    assert made.returncode == 0, made.stderr
    identity = json.loads((out / "manifest.json").read_text())["facts"]["identity"]
    # Only flow starts at a source and follows a solver's steps.
    assert (identity["source"], identity["sampling"], identity["batch"]) == (None, None, 64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": {"rigde": 1}}, "did you mean 'ridge'"),
        ({"model": {"width": 8}}, "model belongs to method flow"),
        ({"source": "control"}, "source belongs to method flow"),
        ({"sampling": {"steps": 7}}, "sampling belongs to method flow"),
        ({"compile": "on"}, "nothing to compile"),
        ({"method": "liner"}, "did you mean 'linear'"),
    ],
)
@pytest.mark.slow
def test_what_a_method_would_ignore_is_refused(
    installed: Path, tiny_store_path: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    done = scdfm(installed, "train", run_file(tmp_path, tiny_store_path, **changes))
    assert done.returncode == 2
    assert message in done.stderr


def _single(store: Path) -> str:
    from data_store.store.reader import Store

    with Store.open(store) as cells:
        return next(name for name, tokens in sorted(cells.conditions.items()) if len(tokens) == 1)
