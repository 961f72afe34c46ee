"""A store goes back to AnnData without loss, and tells what it holds."""

import json
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from data_store.disk.h5ad import append_rows
from data_store.ingest.write import IngestOptions, ingest
from data_store.store import export as exporting
from data_store.store.export import export, to_adata
from data_store.store.reader import Store
from data_store.store.summary import summarise
from tests.data_store.cells import adata, written


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


def test_blocks_put_together_are_what_one_block_would_be(
    tiny_store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tiny_store_path, tmp_path / "one.h5ad")
    read: list[int] = []
    counts = Store.counts

    def noted(self: Store, start: int, stop: int) -> sp.csr_matrix:
        read.append(stop - start)
        return counts(self, start, stop)

    monkeypatch.setattr(exporting, "_ROWS", 70)
    monkeypatch.setattr(Store, "counts", noted)
    export(tiny_store_path, tmp_path / "many.h5ad")
    assert max(read) == 70
    one, many = (anndata.read_h5ad(tmp_path / name) for name in ("one.h5ad", "many.h5ad"))
    assert (one.X != many.X).nnz == 0
    pd.testing.assert_frame_equal(one.obs, many.obs)
    assert list(many.obs_names) == list(
        anndata.io.read_zarr(tiny_store_path / "cells.zarr").obs_names
    )


def test_every_kind_of_column_comes_back(tmp_path: Path) -> None:
    labels = ["ctrl", "A", "A", "ctrl", "B", "A+B"]
    cells = adata(
        labels,
        counts=sp.csr_matrix(np.diag([1.0, 2**24 + 1, 3, 4, 5, 6])[:, :3]),
        ordered=pd.Categorical(list("bbacab"), categories=list("cab!"), ordered=True),
        numbers=pd.Categorical([3, 1, 3, 3, 1, 1]),
        whole=pd.array([1, None, 3, 4, 5, 6], dtype="Int64"),
        maybe=pd.array([True, None, False, True, True, False], dtype="boolean"),
        small=np.arange(6, dtype=np.int8),
        real=np.linspace(0, 1, 6, dtype=np.float32),
        library_size=np.arange(1, 7) * 1e9,
    )
    ingest(written(cells, tmp_path), tmp_path / "store")
    export(tmp_path / "store", tmp_path / "back.h5ad")
    source = anndata.read_h5ad(tmp_path / "cells.h5ad")
    found = anndata.read_h5ad(tmp_path / "back.h5ad")
    # Not found[...].obs, which drops categories that no cell has.
    pd.testing.assert_frame_equal(found.obs.loc[source.obs_names], source.obs)
    assert found.X.dtype == np.float64  # float32 would round one of them
    np.testing.assert_array_equal(found[source.obs_names].X.toarray(), cells.X.toarray())


def test_some_conditions_of_a_store_are_written(tiny_store_path: Path, tmp_path: Path) -> None:
    with Store.open(tiny_store_path) as store:
        names = list(store.conditions)[1::2]
        expected = to_adata(store, conditions=names)
    export(tiny_store_path, tmp_path / "some.h5ad", conditions=names)
    found = anndata.read_h5ad(tmp_path / "some.h5ad")
    assert (found.X != expected.X).nnz == 0
    assert list(found.obs_names) == list(expected.obs_names)
    assert found.uns["scdfm"]["store"] == expected.uns["scdfm"]["store"]


def test_conditions_far_from_each_other_are_read_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = adata(["ctrl", *(f"d{k:03}" for k in range(300))])
    ingest(cells, tmp_path / "store", options=IngestOptions(perturbation="drug"))
    reads: list[int] = []
    among = Store.obs_at

    def noted(self: Store, rows: np.ndarray) -> pd.DataFrame:
        reads.append(len(rows))
        return among(self, rows)

    monkeypatch.setattr(Store, "obs_at", noted)
    with Store.open(tmp_path / "store") as store:
        some = list(store.conditions)[::2]
        expected = to_adata(store)
    reads.clear()
    export(tmp_path / "store", tmp_path / "some.h5ad", conditions=some)
    assert len(reads) <= 4  # as many for 30,000 conditions as for 8,192 cells
    found = anndata.read_h5ad(tmp_path / "some.h5ad")
    assert set(found.obs["condition"]) == set(some)
    same = expected[found.obs_names]
    assert (found.X != same.X).nnz == 0
    assert list(found.obs["condition"]) == list(same.obs["condition"])


def whole(path: Path) -> sp.csr_matrix:
    """X of a file as its arrays say, checked to be a CSR matrix all through."""
    with h5py.File(path) as file:
        x = file["X"]
        parts = x["data"][:], x["indices"][:], x["indptr"][:]
        matrix = sp.csr_matrix(parts, shape=tuple(x.attrs["shape"]))
    assert parts[2][0] == 0
    assert parts[2][-1] == len(parts[0]) == len(parts[1])
    matrix.check_format(full_check=True)
    return matrix


def same_cells(path: Path, expected: anndata.AnnData) -> None:
    found = whole(path)
    assert found.shape == expected.shape
    assert (found != expected.X).nnz == 0
    pd.testing.assert_frame_equal(anndata.read_h5ad(path).obs, expected.obs)


def test_a_file_of_any_condition_holds_its_cells_and_nothing_else(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    with Store.open(tiny_store_path) as store:
        names = ["control", *store.conditions]
        sets = [[name] for name in names] + [names[:many] for many in range(2, len(names) + 1)]
        for number, some in enumerate(sets):
            path = tmp_path / f"{number}.h5ad"
            export(tiny_store_path, path, conditions=some)
            same_cells(path, to_adata(store, conditions=some))


@settings(max_examples=6)
@given(data=st.data())
def test_a_file_of_any_set_of_conditions_in_blocks_of_any_size_is_whole(
    tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    with Store.open(tiny_store_path) as store, pytest.MonkeyPatch.context() as patch:
        names = ["control", *store.conditions]
        some = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
        patch.setattr(exporting, "_ROWS", data.draw(st.sampled_from([31, 70, 200])))
        path = tmp_path_factory.mktemp("sets") / "some.h5ad"
        export(tiny_store_path, path, conditions=some)
        same_cells(path, to_adata(store, conditions=some))


def test_rows_without_a_value_and_pointers_of_any_length_are_written(tmp_path: Path) -> None:
    empty, full = sp.csr_matrix((3, 4), dtype=np.float32), sp.eye(4, format="csr", dtype="f4")
    for nonzero, kind in ((4, np.int32), (2**31, np.int64)):
        with h5py.File(tmp_path / f"{nonzero}.h5ad", "w") as file:
            append_rows(file, "X", iter([empty, full, empty]), nonzero=nonzero)
            assert file["X/indptr"].dtype == kind
        found = whole(tmp_path / f"{nonzero}.h5ad")
        np.testing.assert_array_equal(found.toarray()[3:7], np.eye(4))
        assert found.shape == (10, 4)
        assert found.nnz == 4


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
