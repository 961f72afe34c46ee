"""What was done to values is kept in the manifest, said, and holds for cells that come later."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from data_store.ingest.write import IngestOptions, ingest
from data_store.store.integrity import verify
from data_store.store.reader import Store
from tests.data_store.cells import adata, logged, written
from tests.data_store.values.screens import corrected, counted, per_10k, per_million, to_median


def test_files_of_several_depths_are_one_scale_and_their_depths_are_recorded(
    tmp_path: Path,
) -> None:
    files = []
    for name, change in {"a": per_10k, "b": per_million, "c": to_median}.items():
        cells = change(counted())
        cells.obs_names = [f"{name}{k}" for k in range(cells.n_obs)]
        files.append(written(cells, tmp_path, f"{name}.h5ad"))
    store = tmp_path / "store"
    ingest(files[:2], store, options=IngestOptions(normalised=True))
    manifest = ingest(files[2:], store, options=IngestOptions(append=True))
    median = float(np.median(np.asarray(counted().X.sum(axis=1))))
    assert manifest.recipe.depths == {"b.h5ad": 1e6, "c.h5ad": pytest.approx(median, rel=1e-3)}
    with Store.open(store) as opened:
        sums = np.expm1(opened.expression(0, manifest.cells).astype(np.float64)).sum(axis=1)
    np.testing.assert_allclose(sums, 1e4, rtol=1e-4)
    assert verify(store) == []


def test_rounding_is_recorded_and_holds_for_appended_cells(tmp_path: Path) -> None:
    cells = corrected(counted())
    cells.obs["total_counts"] = np.asarray(cells.X.sum(axis=1)).ravel()
    manifest = ingest(cells, tmp_path / "store", options=IngestOptions(round=True))
    assert manifest.recipe.rounded
    fractions = int((np.abs(cells.X.data - np.rint(cells.X.data)) > 1.1e-3).sum())
    [said] = [line for line in manifest.detections if line.startswith("rounded: ")]
    assert int(said.split()[1].replace(",", "")) == pytest.approx(fractions, abs=20)
    # The file's own totals are of its fractions, which rounding may exceed.
    assert manifest.recipe.library_size_column == "total_counts"
    cells.obs_names = [f"later {k}" for k in range(cells.n_obs)]
    later = ingest(cells, tmp_path / "store", options=IngestOptions(append=True))
    assert later.recipe.rounded
    assert later.cells == 2 * cells.n_obs
    plain = ingest(counted(), tmp_path / "plain")
    assert "rounded" not in plain.model_dump()["recipe"]


@pytest.mark.parametrize("largest", [2_048, 3_001])
def test_float16_is_read_and_its_inexact_counts_are_said(tmp_path: Path, largest: int) -> None:
    counts = np.arange(18).reshape(6, 3)
    counts[5, 2] = largest
    path = written(adata(counts=counts.astype(np.float32)), tmp_path)
    with h5py.File(path, "r+") as file:
        values = file["X/data"][:].astype(np.float16)
        del file["X/data"]
        file["X/data"] = values
    said = ingest(path, tmp_path / "store").detections
    with Store.open(tmp_path / "store") as store:
        assert store.counts(0, 6).max() == np.float16(largest)
    assert any("float16" in line for line in said) == (largest > 2_048)


def test_logs_in_float16_are_of_the_depth_that_they_had(tmp_path: Path) -> None:
    cells = logged(counted(), depth=1e6)
    cells.X = cells.X.toarray().astype(np.float16)
    manifest = ingest(cells, tmp_path / "store", options=IngestOptions(normalised=True))
    assert manifest.recipe.depths == {"AnnData in memory": 1e6}


def test_what_a_growing_store_has_decided_is_not_advised_against(tmp_path: Path) -> None:
    counts, logs = tmp_path / "counts", tmp_path / "logs"
    ingest(counted(), counts)
    ingest(per_10k(counted()), logs)
    more = IngestOptions(append=True)
    new = "got .* a cell; ingest all files into a new store"
    other = per_million(counted())
    other.obs_names = [f"other {k}" for k in range(other.n_obs)]
    with pytest.raises(ValueError, match=new):
        ingest(other, counts, options=more)
    other.raw = counted()
    with pytest.raises(ValueError, match=r"counts are in raw/X: --layer raw takes them$"):
        ingest(other, counts, options=more)
    told = IngestOptions(append=True, layer="raw")
    assert ingest(other, counts, options=told).cells == 2 * other.n_obs
    plain = counted()
    plain.obs_names = other.obs_names
    with pytest.raises(ValueError, match="which are counts; ingest all files into a new store"):
        ingest(plain, logs, options=more)
