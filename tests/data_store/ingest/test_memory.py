"""AnnData in memory becomes the store that its file becomes."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from data_store.ingest.write import IngestOptions, ingest
from data_store.store.reader import Store
from tests.data_store.cells import adata, written

FORMS = {
    "csr": sp.csr_matrix,
    "csc": sp.csc_matrix,
    "array": sp.csr_array,
    "dense": lambda matrix: matrix.toarray(),
    "int64": lambda matrix: matrix.astype(np.int64),
}


def rich(form: str = "csr") -> anndata.AnnData:
    """Cells with columns of all kinds."""
    cells = adata(
        line=pd.Categorical(["x", "y", "x", "x", "y", "x"], categories=["y", "x"]),
        score=np.linspace(0, 1, 6),
        flag=[True, False] * 3,
        note=[f"note {k}" for k in range(6)],
        count=pd.array([1, None, 3, 4, 5, 6], dtype="Int64"),
        sure=pd.array([True, None, False, True, True, True], dtype="boolean"),
    )
    cells.var["kind"] = ["coding", "other", "coding"]
    cells.var["symbol"] = ["sA", "sB", "sC"]
    cells.layers["counts"] = cells.X.copy()
    cells.X = FORMS[form](cells.X)
    return cells


@pytest.mark.parametrize("form", FORMS)
def test_equal_values_give_the_same_store_from_memory_and_file(tmp_path: Path, form: str) -> None:
    cells = rich(form)
    before = cells.copy()
    told = IngestOptions(genes=2)
    kept = ingest(cells, tmp_path / "memory", options=told)
    pd.testing.assert_frame_equal(cells.obs, before.obs)  # nothing of it was changed
    pd.testing.assert_frame_equal(cells.var, before.var)
    path = written(cells, tmp_path)
    assert kept.fingerprint == ingest(path, tmp_path / "file", options=told).fingerprint


def test_a_view_is_read_as_its_cells(tmp_path: Path, tiny_adata: anndata.AnnData) -> None:
    half = tiny_adata[::2, 5:]
    told = IngestOptions(context_column="context", perturbation="gene")
    kept = ingest(half, tmp_path / "memory", options=told)
    path = written(half.copy(), tmp_path)
    assert kept.fingerprint == ingest(path, tmp_path / "file", options=told).fingerprint


def changed(cells: anndata.AnnData, what: str) -> anndata.AnnData:
    if what == "value":
        cells.X[0, 1] += 1
    elif what == "obs":
        cells.obs["score"] = np.linspace(0, 2, 6)
    elif what == "text":
        cells.obs["note"] = [f"note {k + 1}" for k in range(6)]
    elif what == "name":
        cells.obs_names = [f"d{k}" for k in range(6)]
    elif what == "var":
        cells.var["symbol"] = ["sA", "sB", "sD"]
    return cells


@pytest.mark.parametrize("what", ["value", "obs", "text", "name", "var"])
def test_the_same_cells_are_known_again_and_changed_ones_are_not(tmp_path: Path, what: str) -> None:
    first = ingest(rich(), tmp_path / "store")
    assert ingest(rich(), tmp_path / "store") == first
    with pytest.raises(FileExistsError, match="--overwrite"):
        ingest(changed(rich(), what), tmp_path / "store")


def test_memory_and_files_join_and_grow(tmp_path: Path) -> None:
    first, second, third = rich(), rich(), rich()
    for mark, cells in (("a", first), ("b", second), ("c", third)):
        cells.obs_names = [f"{mark}{k}" for k in range(6)]
    ingest([first, written(second, tmp_path)], tmp_path / "store")
    ingest(third, tmp_path / "store", options=IngestOptions(append=True))
    with Store.open(tmp_path / "store") as store:
        assert sorted(store.obs(0, 18).index) == [f"{m}{k}" for m in "abc" for k in range(6)]


@pytest.mark.parametrize(
    ("cells", "match"),
    [
        (lambda folder: anndata.read_h5ad(written(rich(), folder), backed="r"), "backed by"),
        (
            lambda folder: adata(odd=[{1}, 2, "x", 4, 5, 6]),
            "a column 'odd' with values of int, set, str; conv",
        ),
        (lambda folder: adata(genes=["A", "B", "A"]), "unique gene names in AnnData in memory"),
    ],
    ids=["backed", "odd column", "genes twice"],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, cells: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        ingest(cells(tmp_path), tmp_path / "store")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()
