"""A store goes back to AnnData without loss, and tells what it holds."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from data_store.export import export, to_adata
from data_store.reader import Store
from data_store.summary import summarise


def test_values_obs_and_var_come_back(
    tiny_store_path: Path, tiny_h5ad: Path, tmp_path: Path
) -> None:
    export(tiny_store_path, tmp_path / "back.h5ad")
    source = anndata.read_h5ad(tiny_h5ad)
    found = anndata.read_h5ad(tmp_path / "back.h5ad")[source.obs_names].copy()
    assert (found.X != source.X).nnz == 0
    assert found.X.dtype == source.X.dtype
    pd.testing.assert_frame_equal(found.obs, source.obs)
    pd.testing.assert_frame_equal(found.var, source.var)


def test_conditions_can_be_chosen_in_any_spelling(tiny_store_path: Path) -> None:
    with Store.open(tiny_store_path) as store:
        double = next(name for name, tokens in store.conditions.items() if len(tokens) == 2)
        swapped = "+".join(reversed(double.split("+")))
        found = to_adata(store, conditions=[swapped, "ctrl"])
        assert set(found.obs["condition"]) == {"control", store.labels[double]}
        with pytest.raises(ValueError, match="'nothing'"):
            to_adata(store, conditions=["nothing"])


def test_a_taken_place_is_refused_and_left_alone(tiny_store_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5ad"
    out.write_text("precious")
    with pytest.raises(FileExistsError, match="--overwrite"):
        export(tiny_store_path, out)
    assert out.read_text() == "precious"
    with pytest.raises(ValueError, match=r"\.h5ad"):
        export(tiny_store_path, tmp_path / "out.csv")


def test_the_summary_is_plain_json_and_adds_up(
    tiny_store_path: Path, tiny_adata: anndata.AnnData
) -> None:
    with Store.open(tiny_store_path) as store:
        found = json.loads(json.dumps(summarise(store)))
    assert (found["cells"], found["genes"]) == tiny_adata.shape
    assert found["zeros"] == pytest.approx(1 - tiny_adata.X.nnz / (600 * 60))
    assert (found["singles"], found["doubles"]) == (6, 5)
    assert sum(context["cells"] for context in found["contexts"].values()) == 600
    assert found["library_size"]["median"] == pytest.approx(np.median(tiny_adata.obs["ncounts"]))
    assert len(found["fingerprint"]) == 64
