"""The console script: fast to answer, quiet, and honest about how it ended."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from cli.errors import explain
from cli.main import run
from tests.cli.conftest import Call

HEAVY = ("torch", "ray", "scanpy", "anndata", "pandas", "zarr", "optuna", "matplotlib")


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_help_loads_no_heavy_library() -> None:
    code = "import sys, cli.main; cli.main.run(['ingest', '--help']); print(*sys.modules)"
    loaded = set(python(code).splitlines()[-1].split())
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize(
    "module",
    [
        "data_store.sources.options",
        "data_store.simulate_options",
        "scdfm.splits.config",
        "cluster.settings.config",
        "cluster.options",
        "cluster.predict.options",
        "cluster.release.request",
        "sweeps",
    ],
)
def test_what_a_user_may_ask_is_known_without_heavy_libraries(module: str) -> None:
    loaded = set(python(f"import sys, {module}; print(*sys.modules)").split())
    assert module in loaded
    assert not loaded & {*HEAVY, "scipy"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "absent.yaml"],
        ["tune", "absent.yaml"],
        ["evaluate", "absent"],
        ["evaluate", "."],  # no run
        ["report", "absent"],
        ["report", "."],
        ["predict", "absent", "--store", "s.zarr", "--conditions", "A", "--out", "a.h5ad"],
        ["ingest", "absent.h5ad", "s.zarr"],
        ["verify", "absent.zarr"],
        ["inspect", "absent.zarr"],
        ["export", "absent.zarr", "a.h5ad"],
        ["split", "absent.zarr"],
        ["import-release", "absent.pt", "model", "--store", "s.zarr"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_what_is_not_there_is_refused_before_heavy_libraries_load(arguments: list[str]) -> None:
    code = f"import sys, cli.main; print(cli.main.run({arguments}), *sys.modules)"
    status, *loaded = python(code).split()
    assert status == "2"
    assert not set(loaded) & set(HEAVY)


def test_the_console_script_ends_with_the_status_of_its_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "inspect", "absent"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("scdfm: ")
    assert done.stderr.count("\n") == 1


def test_without_a_command_help_is_shown(scdfm: Call) -> None:
    called = scdfm()
    assert called.status == 0
    assert "Commands:" in called.out


def test_the_version_is_the_installed_one(scdfm: Call) -> None:
    assert scdfm("--version").out == f"scdfm {version('scdfm')}\n"


def test_ctrl_c_is_one_line_and_130(
    scdfm: Call, tiny_store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("data_store.store.integrity.manifest_of", interrupt)
    called = scdfm("verify", tiny_store_path)
    assert called.status == 130
    assert called.error == f"scdfm: {explain(KeyboardInterrupt()).line}"


def test_json_is_all_there_is_on_standard_output(scdfm: Call, tiny_store_path: Path) -> None:
    called = scdfm("verify", tiny_store_path, "--json")
    json.loads(called.out)
    assert "hashed" in called.err


def test_a_closed_pipe_is_no_error(tiny_store_path: Path) -> None:
    inspect = f"{sys.executable} -m cli.main inspect {tiny_store_path} --json"
    done = subprocess.run(
        ["bash", "-c", f"{inspect} | head -1"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert "scdfm:" not in done.stderr


def test_run_gives_a_status_and_never_exits(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert run(["nothing"]) == 2
