"""Columns that say nothing come through, and a condition can be left out as it is labelled."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from data_store.store.export import export
from tests.data_store.cells import adata, written
from tests.data_store.screens.said import refused, said


def sparse_columns() -> anndata.AnnData:
    """Missing values in every kind of column, and categories that no cell has."""
    cells = adata(["ctrl", "A", "B"] * 4)
    labels = ["ctrl", "A", "B", "NEVER", "ALSO_NEVER"]
    cells.obs["condition"] = pd.Categorical(cells.obs["condition"], categories=labels)
    cells.obs["none"] = pd.Categorical([None] * 12)
    cells.obs["bins"] = pd.Categorical(["(0, 1]", None, "(1, 2]"] * 4, ordered=True)
    cells.obs["numbers"] = pd.Categorical([1, 2, None] * 4)
    cells.obs["flag"] = pd.array([True, None, False] * 4, dtype="boolean")
    cells.obs["whole"] = pd.array([1, None, 3] * 4, dtype="Int64")
    cells.obs["real"] = [0.5, np.nan, 1.5] * 4
    cells.obs["text"] = pd.array(["x", None, "NA"] * 4, dtype="string")
    return cells


def test_columns_without_values_come_back_and_unused_categories_are_no_conditions(
    tmp_path: Path,
) -> None:
    with anndata.settings.override(allow_write_nullable_strings=True):
        path = written(sparse_columns(), tmp_path)
    source = anndata.read_h5ad(path)
    store, _ = said(source, tmp_path / "store", perturbation="gene")
    with store:
        assert set(store.conditions) == {"A", "B"}
    export(tmp_path / "store", tmp_path / "back.h5ad")
    found = anndata.read_h5ad(tmp_path / "back.h5ad").obs.loc[source.obs_names]
    assert set(found["condition"].cat.categories) == {"ctrl", "A", "B"}
    others = source.obs.columns.drop("condition")
    pd.testing.assert_frame_equal(found[others], source.obs[others])


@pytest.mark.parametrize("column", ["none", "bins", "flag", "whole", "real", "text"])
def test_a_column_with_missing_values_is_no_context_without_a_word(
    tmp_path: Path, column: str
) -> None:
    line = refused(sparse_columns(), tmp_path / "s", context_column=column)
    assert "cells without one; fill them or pass --drop-unlabelled" in line


@pytest.mark.parametrize(
    ("excluded", "left"),
    [
        (("A+WT",), {"B", "DMSO"}),
        (("WT+A",), {"B", "DMSO"}),
        (("A",), {"B", "DMSO"}),
        (("DMSO",), {"A", "B"}),
        (("A+WT,DMSO",), {"B"}),
    ],
)
def test_a_condition_is_left_out_in_any_spelling_and_the_control_never(
    tmp_path: Path, excluded: tuple[str, ...], left: set[str]
) -> None:
    labels = ["WT", "WT", "A+WT", "B+WT", "A", "DMSO"]
    store, lines = said(labels, tmp_path / "s", control=("WT",), exclude=excluded,
                        perturbation="drug")  # fmt: skip
    with store:
        assert set(store.conditions) == left
        assert sum(map(len, store.controls.values())) == 2
    assert any("(excluded)" in line for line in lines)
