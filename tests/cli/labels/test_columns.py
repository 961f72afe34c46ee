"""Several condition columns, on the command line and in a notebook."""

import json
from pathlib import Path

import pytest

from cluster.door.cells import ingest
from tests.cli.conftest import Call
from tests.data_store.cells import written
from tests.data_store.labels.test_columns import pairs


def test_a_notebook_and_the_command_line_take_several_columns(
    scdfm: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(pairs(line=["x"] * 9, batch=["1"] * 9), Path())
    called = scdfm(
        *("ingest", "cells.h5ad", "store", "--perturbation", "drug"),
        *("--condition-column", "Drug1", "--condition", "Drug2"),
        *("--context", "line", "--context", "batch"),
    )
    assert called.status == 0, called.err
    facts = json.loads(scdfm("inspect", "store", "--json").out)
    assert facts["recipe"]["condition_column"] == ["Drug1", "Drug2"]
    assert {unit["condition"] for unit in facts["units"]} == {"control", "A", "B", "A+B", "(+)-C"}
    assert [*facts["contexts"]] == ["x / 1"]
    shown = scdfm("inspect", "store").out
    assert "obs Drug1 and Drug2" in shown
    assert "obs line and batch" in shown
    made = ingest(
        pairs(line=["x"] * 9, batch=["1"] * 9),
        tmp_path / "other",
        perturbation="drug",
        condition_column=["Drug1", "Drug2"],
        context_column=["line", "batch"],
    )
    assert made.fingerprint == facts["fingerprint"]
