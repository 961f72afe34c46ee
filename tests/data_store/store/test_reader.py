"""Reading gives log1p per 10k of exactly the rows and genes asked for."""

import json
import logging
import threading
from pathlib import Path

import anndata
import numpy as np
import pytest
from anndata.io import read_zarr

from data_store.disk.arrays import codec_pipeline
from data_store.ingest.write import ingest
from data_store.store import runs as row_runs
from data_store.store.moments import SUMS
from data_store.store.reader import Store
from tests.data_store.cells import adata, written


@pytest.fixture
def store(tiny_store_path: Path) -> Store:
    return Store.open(tiny_store_path)


@pytest.fixture
def expected(tiny_store_path: Path) -> np.ndarray:
    cells = read_zarr(tiny_store_path / "cells.zarr")
    library = cells.obs["library_size"].to_numpy()[:, None]
    return np.log1p(cells.X.toarray() / library * 10_000)


def test_expression_is_log1p_of_counts_per_ten_thousand(store: Store, expected: np.ndarray) -> None:
    found = store.expression(0, store.manifest.cells)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=3e-7, atol=1e-7)


def test_any_run_of_rows_is_that_part_of_the_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = store.expression(0, store.manifest.cells)
    monkeypatch.setattr(row_runs, "_ROWS_AT_ONCE", 33)
    for start, stop in ((0, 0), (0, 1), (5, 90), (88, 311), (599, 600)):
        np.testing.assert_array_equal(store.expression(start, stop), whole[start:stop])


def test_genes_come_in_the_order_asked_for(store: Store) -> None:
    genes = np.array([40, 3, 17, 0])
    np.testing.assert_array_equal(
        store.expression(10, 200, genes=genes), store.expression(10, 200)[:, genes]
    )


def test_a_cache_without_room_changes_nothing(tiny_store_path: Path, store: Store) -> None:
    with Store.open(tiny_store_path, cache_bytes=0) as cold:
        for _ in range(2):
            np.testing.assert_array_equal(cold.expression(30, 350), store.expression(30, 350))
            assert cold._reader.cache.bytes == 0


def test_the_cache_stays_within_its_bytes(tiny_store_path: Path) -> None:
    with Store.open(tiny_store_path, cache_bytes=3_000) as small:
        small.expression(0, 300)
        small.expression(300, 600)
        assert 0 < small._reader.cache.bytes <= 3_000


def test_threads_read_the_same(store: Store) -> None:
    whole = store.expression(0, 600)
    wrong: list[int] = []

    def read(seed: int) -> None:
        for start in np.random.default_rng(seed).integers(0, 550, 40).tolist():
            if not np.array_equal(store.expression(start, start + 50), whole[start : start + 50]):
                wrong.append(start)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_moments_are_the_sums_of_expression(store: Store, expected: np.ndarray) -> None:
    for k, unit in enumerate(store.units):
        found = store.expression(unit.start, unit.stop).astype(np.float64)
        moments = store.moments
        assert moments.cells[k] == len(unit)
        np.testing.assert_allclose(moments.row("total", k), found.sum(axis=0), rtol=1e-7)
        linear = np.expm1(expected[unit.start : unit.stop])
        total, squares = (moments.row(name, k) for name in SUMS[1:])
        np.testing.assert_allclose(total, linear.sum(axis=0), rtol=2e-7)
        np.testing.assert_allclose(squares, (linear**2).sum(axis=0), rtol=2e-7)
        np.testing.assert_array_equal(moments.nonzero(k), (found > 0).sum(axis=0))


def test_cells_without_counts_read_as_zeros(tmp_path: Path) -> None:
    cells = adata(counts=np.diag([1, 0, 1, 0, 1, 1])[:, :3])
    ingest(written(cells, tmp_path), tmp_path / "store")
    with Store.open(tmp_path / "store") as store:
        values = store.expression(0, 6)
        assert np.isfinite(values).all()
        assert (values > 0).sum() == 2


def test_the_decoder_in_use_is_told_once(
    tiny_store_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "data_store.store"), Store.open(tiny_store_path) as store:
        store.expression(0, 50)
    (line,) = [record.message for record in caplog.records]
    assert "our own decoder" in line
    assert codec_pipeline(store._root["X"]["data"]) in line


def test_rows_that_are_far_apart_are_those_rows(store: Store) -> None:
    rows = np.array([0, 3, 70, 71, 200, 599])
    genes = np.array([5, 2])
    np.testing.assert_array_equal(
        store.expression_at(rows, genes=genes), store.expression(0, 600, genes=genes)[rows]
    )
    assert store.expression_at(rows[:0], genes=genes).shape == (0, 2)


def test_runs_of_rows_stand_where_they_are_told_to(store: Store) -> None:
    whole = store.expression(0, 600)
    order = np.array([2, -1, 0, 1, -1])
    found = store.expression_of([(10, 12), (100, 103)], order=order)
    np.testing.assert_array_equal(found, whole[[100, 101, 10]])


def test_rows_and_genes_outside_the_store_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="within 0:600"):
        store.expression(590, 601)
    with pytest.raises(ValueError, match="within 0:60"):
        store.expression(0, 1, genes=np.array([60]))
    with pytest.raises(ValueError, match="more than once"):
        store.expression(0, 1, genes=np.array([1, 1]))


def test_a_source_is_no_store(tiny_h5ad: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="ingest first"):
        Store.open(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"without one"):
        Store.open(tmp_path)
    with pytest.raises(ValueError, match=r"without one"):
        Store.open(tiny_h5ad)


def test_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(ValueError, match=r"schema version 1.*got 99; upgrade"):
        Store.open(tmp_path)


def test_the_tiny_screen_is_there(store: Store, tiny_adata: anndata.AnnData) -> None:
    assert store.genes == tuple(tiny_adata.var_names)
    assert store.contexts == ("line1", "line2")
    assert set(store.labels.values()) == set(tiny_adata.obs["condition"]) - {"control"}
