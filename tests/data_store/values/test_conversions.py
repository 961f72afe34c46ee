"""Files that converters from R write: factors as codes, their levels apart."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata.io import read_zarr

from data_store.ingest.write import IngestOptions, ingest
from tests.data_store.cells import adata

LABELS = ["NT", "A", "B"] * 4
LEVELS = ["A", "B", "NT"]  # in another order than they occur
SMALLEST = -2_147_483_648  # R's missing integer
CONTROL = IngestOptions(control=("NT",))


def converted(folder: Path, *, codes: list[int], link: bool = True) -> Path:
    """As SeuratDisk's Convert writes: no encodings, levels in obs/__categories."""
    cells, path, text = adata(LABELS), folder / "cells.h5ad", h5py.string_dtype()
    with h5py.File(path, "w") as file:
        for name, index, order in (
            ("obs", cells.obs_names, ["condition"]),
            ("var", cells.var_names, []),
        ):
            table = file.create_group(name)
            table.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.1.0"})
            table.attrs["_index"] = "_index"
            table.attrs["column-order"] = np.array(order, dtype=text)
            table["_index"] = np.array(list(index), dtype=text)
        file["obs/condition"] = np.array(codes, dtype=np.int32)
        file["obs/__categories/condition"] = np.array(LEVELS, dtype=text)
        if link:
            place = file["obs/__categories/condition"].ref
            file["obs/condition"].attrs["categories"] = place
        file["X"] = cells.X.toarray()
    return path


def codes_of(labels: list[str]) -> list[int]:
    return [LEVELS.index(label) for label in labels]


def test_factors_are_their_levels_and_a_missing_one_is_no_label(tmp_path: Path) -> None:
    codes = codes_of(LABELS)
    ingest(converted(tmp_path, codes=codes), tmp_path / "store", options=CONTROL)
    found = read_zarr(tmp_path / "store" / "cells.zarr").obs["condition"]
    assert dict(found) == dict(zip(adata(LABELS).obs_names, LABELS, strict=True))
    codes[4] = SMALLEST
    path = converted(tmp_path, codes=codes)
    with pytest.raises(ValueError, match=r"got 1 of 12 cells without one.*--drop-unlabelled"):
        ingest(path, tmp_path / "other", options=CONTROL)
    options = CONTROL.model_copy(update={"drop_unlabelled": True})
    assert ingest(path, tmp_path / "other", options=options).cells == 11


def test_a_code_without_a_level_is_damage_that_is_named(tmp_path: Path) -> None:
    path = converted(tmp_path, codes=[9, *codes_of(LABELS)[1:]])
    with pytest.raises(ValueError, match="column 'condition' has codes of more than 3 categories"):
        ingest(path, tmp_path / "store", options=CONTROL)


def test_bare_codes_are_said_with_their_levels_and_the_remedy_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = converted(tmp_path, codes=codes_of(LABELS), link=False)
    with pytest.raises(ValueError, match="found the labels 0, 1, 2"):
        ingest(path, tmp_path / "store", options=CONTROL)
    [said] = [r.getMessage() for r in caplog.records if "holds whole numbers" in r.getMessage()]
    assert "obs/__categories/condition: A, B, NT" in said
    assert "--cells" in said
    table = pd.DataFrame({"label": LABELS}, index=adata(LABELS).obs_names)
    table.to_csv(tmp_path / "labels.csv")
    table_of = {"cells": (tmp_path / "labels.csv",), "condition_column": ("label",)}
    told = CONTROL.model_copy(update=table_of)
    assert ingest(path, tmp_path / "store", options=told).units == 3


def test_labels_with_letters_or_of_a_text_are_not_taken_for_codes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ingest(adata(["NT", "5", "A", "B"]), tmp_path / "store", options=CONTROL)
    assert "whole numbers" not in caplog.text
