"""`scdfm doctor` on this machine: a table, a line for each fault, and a status for scripts."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Call


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cluster, and a folder of the test's own."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_fit_machine_is_shown_and_nothing_is_left(scdfm: Call, tmp_path: Path) -> None:
    called = scdfm("doctor", "--address", "local")
    assert called.status == 0
    assert f"output {tmp_path / 'runs'}: written and seen by all of 1" in called.out
    assert "nothing found that would break training" in called.out
    assert list(tmp_path.iterdir()) == []


def test_a_fault_ends_with_status_1_also_for_machines(scdfm: Call, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    called = scdfm("doctor", "--address", "local", "--store", "nowhere.zarr", "--json")
    assert called.status == 1
    told = json.loads(called.out)
    assert told["fit"] is False
    [facts] = told["nodes"].values()
    assert facts["memory_free"] > 0
    said = " ".join(fault["what"] for fault in told["faults"])
    assert "cannot write to" in said
    assert "nowhere.zarr cannot be read" in said
    assert all(fault["remedy"] for fault in told["faults"])
