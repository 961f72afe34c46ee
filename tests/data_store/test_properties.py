"""Whatever the cells look like, a store gives back the same cells."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata.io import read_zarr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from data_store import stream
from data_store.disk import columns
from data_store.ingest import assemble, spill
from data_store.ingest.write import IngestOptions, ingest
from data_store.store import runs as row_runs
from data_store.store.integrity import verify
from data_store.store.reader import Store
from data_store.stream import BatchConfig, Cells, Stream

LABELS = ["ctrl", "A", "B", "A+B", "B+A", "A+ctrl", "C+A+B"]


@st.composite
def screens(draw: st.DrawFn) -> anndata.AnnData:
    """Any small CSR matrix with any layout of conditions and contexts that has its controls."""
    cells, genes = draw(st.integers(4, 40)), draw(st.integers(1, 12))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    largest = draw(st.sampled_from([2, 300, 70_000]))
    counts = rng.integers(1, largest, (cells, genes)) * (
        rng.random((cells, genes)) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    )
    labels = rng.choice(LABELS, size=cells)
    context = rng.choice(["x", "y", "é"], size=cells)
    # One control in every context, and something perturbed.
    labels[:3], context[:4], labels[3] = "ctrl", ["x", "y", "é", "x"], "A"
    names = draw(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1),
            min_size=cells,
            max_size=cells,
            unique=True,
        )
    )
    obs = pd.DataFrame({"condition": labels, "line": context, "n": rng.random(cells)}, index=names)
    var = pd.DataFrame(index=[f"g{k}" for k in range(genes)])
    return anndata.AnnData(sp.csr_matrix(counts.astype(np.float32)), obs=obs, var=var)


@given(
    cells=screens(),
    bucket=st.integers(300, 5_000),
    chunk=st.integers(1, 9),
    block=st.integers(1, 60),
    seed=st.integers(0, 5),
)
@settings(
    max_examples=25,
    # Writing stores is slow: a failing example is shown as it was drawn.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_screen_in_any_chunking_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    cells: anndata.AnnData,
    bucket: int,
    chunk: int,
    block: int,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("screen")
    cells.write_h5ad(folder / "cells.h5ad")
    options = IngestOptions(context_column="line", perturbation="gene", seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spill, "BUCKET_BYTES", bucket)
        patch.setattr("data_store.ingest.route._LARGEST_BLOCK", block)
        patch.setattr("data_store.ingest.route._SHARE_HELD", 1e-5)
        patch.setattr(columns, "_CHUNK", chunk)
        patch.setattr(assemble, "_POINTER_CHUNK", chunk)
        patch.setattr(row_runs, "_ROWS_AT_ONCE", block)
        ingest(folder / "cells.h5ad", folder / "store", options=options)
        assert verify(folder / "store") == []
        _check(folder / "store", cells)


def _check(path: Path, cells: anndata.AnnData) -> None:
    found = read_zarr(path / "cells.zarr")
    expected = cells[found.obs_names].copy()
    assert (found.X != expected.X).nnz == 0
    np.testing.assert_array_equal(found.obs["n"], expected.obs["n"])
    with Store.open(path) as store:
        library = np.maximum(np.asarray(expected.X.sum(axis=1)), 1)
        values = np.log1p(expected.X.toarray().astype(np.float64) / library * 10_000)
        np.testing.assert_allclose(store.expression(0, len(cells)), values, rtol=1e-6)
        targets = [Cells(k, u.start, u.stop) for k, u in enumerate(store.units) if not u.is_control]
        config = BatchConfig(conditions=2, cells=3, genes=5)
        genes = np.arange(cells.n_vars)
        drawn = Stream(store, targets=targets, genes=genes, config=config, seed=0)
        _check_independence(path, drawn, targets=targets, genes=genes, config=config)
        batch = drawn.batch(0)
        for j, place in enumerate(batch.units):
            unit = store.units[place]
            rows = {
                row.tobytes() for row in store.expression(unit.start, unit.stop)[:, batch.genes]
            }
            part = batch.target[batch.offsets[j] : batch.offsets[j + 1]]
            assert {row.tobytes() for row in part} <= rows


def _check_independence(
    path: Path, drawn: Stream, *, targets: list[Cells], genes: np.ndarray, config: BatchConfig
) -> None:
    """Batches do not depend on the number of workers, on what is kept, or on earlier batches."""
    alone = {index: drawn.batch(index) for index in (4, 2, 3)}
    with Store.open(path, cache_bytes=0) as cold:
        other = Stream(cold, targets=targets, genes=genes, config=config, seed=0)
        shared = [
            b for rank in range(2) for b in other.batches(start=2, stop=5, rank=rank, world=2)
        ]
    assert sorted(batch.index for batch in shared) == [2, 3, 4]
    for batch in shared:
        assert batch.units == alone[batch.index].units
        for name in ("offsets", "target", "control", "genes"):
            np.testing.assert_array_equal(getattr(batch, name), getattr(alone[batch.index], name))


@given(available=st.integers(1, 300), size=st.integers(1, 300), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_every_cell_of_any_unit_is_reached(available: int, size: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    cells = Cells(unit=0, start=1_000, stop=1_000 + available)
    seen = np.zeros(available, dtype=np.int64)
    draws = 40 * -(-available // size)  # a cell is missed by all of them once in 10^17 times
    for _ in range(draws):
        runs, to = stream._window(cells, size=size, draw=draw)
        rows = np.concatenate([np.arange(start, stop) for start, stop in runs])
        assert sorted(to[to >= 0].tolist()) == list(range(size))
        taken = np.bincount(rows[to >= 0] - cells.start, minlength=available)
        assert taken.max() - taken.min() <= 1  # nobody is taken twice before all are taken once
        seen += taken
    assert seen.min() > 0
