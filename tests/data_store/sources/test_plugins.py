"""A format and a recipe from elsewhere are used like our own."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from data_store.ingest.write import IngestOptions, ingest
from data_store.sources.formats.format import Format, Reading
from data_store.sources.formats.known import open_source
from data_store.sources.formats.memory import of_memory
from data_store.sources.formats.registry import FORMATS
from data_store.sources.places import find
from data_store.sources.recipes.recipe import Recipe
from data_store.sources.recipes.registry import RECIPES
from data_store.sources.source import Source
from data_store.store.reader import Store

HEADER = "cell,state,A,B\n"


def _open(path: Path, reading: Reading) -> Source:
    table = pd.read_csv(path, index_col=0)
    counts = table[["A", "B"]].to_numpy(dtype=np.float32)
    cells = anndata.AnnData(counts, obs=table[["state"]], var=pd.DataFrame(index=["A", "B"]))
    cells.layers["umi"] = counts
    return of_memory(cells, path=path)


TOY = Format(
    title="a .toy table",
    endings=(".toy",),
    holds=lambda path: path.is_file() and path.read_bytes().startswith(HEADER.encode()),
    open=_open,
)
TOY_RECIPE = Recipe(
    file="screen.toy",
    conditions=("state",),
    layers=("umi",),
    control=("none",),
    perturbation="gene",
    drop=("B",),
)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (FORMATS, RECIPES):
        monkeypatch.setattr(registry, "_things", dict(registry._things))
    FORMATS.add("toy", TOY)
    RECIPES.add("toy", TOY_RECIPE)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "cells" / "screen.toy"
    path.parent.mkdir()
    path.write_text(HEADER + "c1,none,1,2\nc2,none,3,4\nc3,A,5,6\nc4,B,7,8\n")
    return path


@pytest.mark.usefixtures("toys")
def test_a_toy_format_and_a_toy_recipe_are_ingested(table: Path, tmp_path: Path) -> None:
    told = IngestOptions(recipe="toy")
    said = ingest(table.parent, tmp_path / "store", options=told).detections  # the folder
    with Store.open(tmp_path / "store") as store:
        assert list(store.conditions) == ["A"]
        unit = next(unit for unit in store.units if not unit.is_control)
        assert store.counts(unit.start, unit.stop).toarray().tolist() == [[5, 6]]
    assert any(line.startswith("recipe toy, written for screen.toy") for line in said)
    assert "left out: 1 cell of B (recipe toy)" in said


@pytest.mark.usefixtures("toys")
def test_errors_and_folders_name_the_toy_format(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("no cells")
    with pytest.raises(ValueError, match=r" or a \.toy table, got .*other\.csv"):
        open_source(other)
    with pytest.raises(ValueError, match=r"expected \.h5ad, \.zarr, \.h5, .*, \.toy in the folder"):
        find([tmp_path])


@pytest.mark.usefixtures("toys")
def test_a_toy_file_may_come_from_an_address(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCDFM_CACHE", str(tmp_path / "cache"))
    (place,) = find([f"file://{table}"])
    assert place.path.read_text() == table.read_text()


def test_an_unknown_recipe_is_told_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'normann' does not exist.*norman"):
        IngestOptions(recipe="normann")
