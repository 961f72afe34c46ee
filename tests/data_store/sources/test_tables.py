"""A table tells what a file does not say about its cells; what does not match is counted."""

import gzip
import logging
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata.io import read_zarr

from data_store.ingest.write import IngestOptions, ingest
from tests.data_store.cells import adata, written

LABELS = ["ctrl", "ctrl", "A", "A", "A+B", "B"]


def nameless(folder: Path, **obs: Any) -> Path:
    """Cells without conditions."""
    cells = adata(LABELS, **obs)
    del cells.obs["condition"]
    return written(cells, folder)


def rows(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"barcode": [f"c{k}" for k in range(6)], "condition": LABELS, **columns})


def take(folder: Path, table: Path, **options: object) -> tuple[anndata.AnnData, list[str]]:
    told = IngestOptions.model_validate({"cells": (table,), **options})
    said = list(ingest(folder / "cells.h5ad", folder / "store", options=told).detections)
    return read_zarr(folder / "store" / "cells.zarr"), said


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.parquet", "indexed.parquet"])
def test_every_kind_of_table_gives_the_same_labels(tmp_path: Path, name: str) -> None:
    nameless(tmp_path)
    table = rows(line=["x"] * 6).sample(frac=1, random_state=0)
    path = tmp_path / name
    if name == "indexed.parquet":
        table.set_index("barcode").to_parquet(path)
    elif name == "t.parquet":
        table.to_parquet(path)
    else:
        text = table.to_csv(sep="\t" if ".tsv" in name else ",", index=False).encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    found, _ = take(tmp_path, path, context_column="line")
    assert list(found.obs["condition"]) == [LABELS[int(name[1:])] for name in found.obs_names]
    assert set(found.obs["line"]) == {"x"}


def test_cells_without_a_row_and_rows_without_a_cell_are_counted(tmp_path: Path) -> None:
    nameless(tmp_path)
    table = rows(number=range(6), sure=[True] * 6)[1:]
    table = pd.concat([table, pd.DataFrame({"barcode": ["z1", "z2"], "condition": ["A", "B"]})])
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"1 of 6 cells without one.*--drop-unlabelled"):
        take(tmp_path, tmp_path / "t.csv")
    found, said = take(tmp_path, tmp_path / "t.csv", drop_unlabelled=True)
    assert "5 of 6 cells of cells.h5ad have a row" in said[0]
    assert "1 have none; 2 rows name no cell of" in said[0]
    assert sorted(found.obs_names) == ["c1", "c2", "c3", "c4", "c5"]
    assert dict(found.obs["number"])["c3"] == 3


def test_a_column_of_the_table_wins_over_the_files_own(tmp_path: Path) -> None:
    written(adata(["ctrl"] * 6, batch=list("aabbcc")), tmp_path)
    rows().to_csv(tmp_path / "t.csv", index=False)
    found, said = take(tmp_path, tmp_path / "t.csv")
    assert set(found.obs["condition"]) == set(LABELS)
    assert set(found.obs["batch"]) == set("abc")
    assert any("the table gives condition, not the file" in line for line in said)


def test_numbers_that_are_missing_leave_whole_numbers_whole(tmp_path: Path) -> None:
    nameless(tmp_path)
    rows(lane=[1, 1, 2, 2, 1, 1])[:5].to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match="context, got none in 2"):
        take(tmp_path, tmp_path / "t.csv", drop_unlabelled=True, context_column="lane")


def test_each_source_may_have_its_own_table(tmp_path: Path) -> None:
    for name in ("one", "two"):
        cells = adata(LABELS)
        del cells.obs["condition"]
        written(cells, tmp_path, f"{name}.h5ad")
        rows(lane=[name] * 6).to_csv(tmp_path / f"{name}.csv", index=False)
    paths = [tmp_path / "one.h5ad", tmp_path / "two.h5ad"]
    tables = (tmp_path / "one.csv", tmp_path / "two.csv")
    options = IngestOptions(cells=tables, context_column="lane")
    ingest(paths, tmp_path / "store", options=options)
    found = read_zarr(tmp_path / "store" / "cells.zarr")
    assert [name.split("-")[1] for name in found.obs_names] == list(found.obs["lane"])
    with pytest.raises(ValueError, match="one --cells for all sources or one for each of 1"):
        ingest(paths[0], tmp_path / "other", options=options)


def test_a_changed_table_is_not_the_same_source(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    nameless(tmp_path)
    rows().to_csv(tmp_path / "t.csv", index=False)
    take(tmp_path, tmp_path / "t.csv")
    take(tmp_path, tmp_path / "t.csv")
    assert caplog.messages[-1].endswith("already holds these cells")
    rows().assign(condition=LABELS[::-1]).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(FileExistsError, match="--overwrite"):
        take(tmp_path, tmp_path / "t.csv")


def refused(folder: Path, content: str | bytes, match: str, *, name: str = "t.csv") -> None:
    nameless(folder)
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises((ValueError, FileNotFoundError), match=match) as caught:
        take(folder, path)
    assert "\n" not in str(caught.value)
    assert not (folder / "store").exists()


def test_a_table_without_matches_is_refused_with_an_example(tmp_path: Path) -> None:
    refused(
        tmp_path,
        "barcode,condition\nq0-1,A\nq1-1,ctrl\n",
        r"cell 'c0' .* has no row in .* such as 'q0-1'; expected one row per cell",
    )


def test_a_table_that_names_a_cell_twice_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "barcode,condition\nc0,A\nc0,ctrl\n", "each cell once.*'c0'")


def test_tables_of_another_form_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "barcode\nc0\n", "at least one other column")
    refused(tmp_path, "barcode,condition\n", "found 0 rows")
    refused(tmp_path, "", "got what cannot be read .it is empty.")
    refused(tmp_path, "a,b,b\nc0,A,B\n", "got 'b' more than once; rename or remove one")
    refused(tmp_path, "a,b\nc0,A\nc1\n", "a row has 1 fields where the header has 2")
    refused(tmp_path, "a,b\n1,2\n", r"in \.csv, \.tsv or \.parquet", name="t.xlsx")
    refused(tmp_path, b"PAR1 no", "got what cannot be read", name="t.parquet")
    with pytest.raises(FileNotFoundError, match="table of cells"):
        take(tmp_path, tmp_path / "absent.csv")


def test_values_survive_as_they_are(tmp_path: Path) -> None:
    nameless(tmp_path)
    rows(share=np.linspace(0, 1, 6), flag=[True, False] * 3).to_csv(tmp_path / "t.csv", index=False)
    found, _ = take(tmp_path, tmp_path / "t.csv")
    order = [int(name[1:]) for name in found.obs_names]
    np.testing.assert_array_equal(found.obs["share"], np.linspace(0, 1, 6)[order])
    assert list(found.obs["flag"]) == [k % 2 == 0 for k in order]
