"""How a prediction is shown, and that tables name addresses."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from cli.show.tables import Column, Grid, Row, pairs
from cli.show.terminal import show
from tests.cli.conftest import Call

IDENTITY = {
    "store": "ab" * 32,
    "model": "cd" * 32,
    "conditions": [["A"], ["A", "B"]],
    "contexts": ["one"],
    "cells": 1500,
    "genes": "ef" * 32,
    "controls": True,
    "seed": 20729,
    "interval": 0.9,
    "source": None,
    "sampling": None,
    "gene_block": 96,
    "block_seed": 0,
    "shard_cells": 256,
    "threads": 1,
    "device": "cpu",
    "precision": "float32",
    "versions": {"torch": "2"},
}
ORIGIN = {"model": "runs/n", "store": "n.zarr", "run": "n", "step": 60}


@pytest.fixture
def prediction(tmp_path: Path) -> Path:
    """A prediction of two cells in the context 'one'."""
    cells = anndata.AnnData(
        np.ones((2, 3), dtype=np.float32),
        obs=pd.DataFrame({"condition": ["A", "control"], "context": ["one"] * 2}, index=["0", "1"]),
    )
    for name in cells.obs:
        cells.obs[name] = cells.obs[name].astype("category")
    told = {"identity": IDENTITY, "origin": ORIGIN, "unseen": ["B"], "versions": {}}
    cells.uns["scdfm"] = {"scale": "log", "control": "control", "provenance": json.dumps(told)}
    cells.write_h5ad(tmp_path / "p.h5ad")
    return tmp_path / "p.h5ad"


def test_a_prediction_is_told_in_words_on_lines_that_fit(scdfm: Call, prediction: Path) -> None:
    out = scdfm("inspect", prediction).out
    assert "identity." not in out
    for part in ("2 of 1,500 cells: A, A+B", "runs/n, run n, step 60 (cdcdcdcdcdcd)", "20729"):
        assert part in out
    assert IDENTITY["store"] in scdfm("inspect", prediction, "--json").out


def test_the_partner_from_another_store_is_refused_by_naming_both(
    scdfm: Call, prediction: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    called = scdfm(
        "export",
        tiny_store_path,
        tmp_path / "real.h5ad",
        *("--normalised", "--genes-of", prediction),
    )
    assert called.status == 2
    assert "was made from the store abababababab" in called.error
    assert not (tmp_path / "real.h5ad").exists()


def test_tables_name_the_address_of_what_a_process_mirrors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = "/tmp/scdfm-x.store/mirror/s3/bucket/runs/one/log.jsonl"
    show(pairs({"logs": place}), Grid([Column("logs", "left")], [Row([place])]))
    out = capsys.readouterr().out
    assert out.count("s3://bucket/runs/one/log.jsonl") == 2
    assert "mirror" not in out
