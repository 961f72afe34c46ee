"""Runs and models stay with the cells they were made from when their store grows."""

import shutil
from pathlib import Path

import anndata
import pytest

from cluster.begin import check
from cluster.evaluate import evaluate
from cluster.run import RunConfig, make_run
from cluster.train import train_here
from data_store.ingest import IngestOptions, ingest
from data_store.reader import Store
from tests.cluster.small import settings

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tiny_store_path: Path, tmp_path: Path) -> RunConfig:
    shutil.copytree(tiny_store_path, tmp_path / "store")
    return make_run(settings(tmp_path / "store", tmp_path), where="test")


def grow(store: Path, cells: anndata.AnnData, *, folder: Path) -> None:
    more = cells[:50].copy()
    more.obs_names = [f"more{name}" for name in more.obs_names]
    more.write_h5ad(folder / "more.h5ad")
    ingest(folder / "more.h5ad", store, options=IngestOptions(append=True))


def test_a_run_and_its_model_keep_their_version(
    run: RunConfig, tiny_adata: anndata.AnnData, tmp_path: Path
) -> None:
    first = train_here(run)
    before = evaluate(run.directory)
    grow(tmp_path / "store", tiny_adata, folder=tmp_path)
    with Store.open(run.store) as newest:
        assert newest.fingerprint != before.fingerprint
    check(run)
    assert train_here(run) == first
    after = evaluate(run.directory)
    assert after.fingerprint == before.fingerprint
    assert after.model_dump_json(include={"tables"}) == before.model_dump_json(include={"tables"})


def test_a_run_that_was_killed_goes_on_with_its_version(
    run: RunConfig, tiny_adata: anndata.AnnData, tmp_path: Path
) -> None:
    undisturbed = train_here(run)
    expected = (undisturbed.model / "model.safetensors").read_bytes()
    shutil.rmtree(run.directory)
    train_here(run, on_round=lambda round: round.step < 2)
    grow(tmp_path / "store", tiny_adata, folder=tmp_path)
    again = train_here(run)
    assert (again.model / "model.safetensors").read_bytes() == expected
