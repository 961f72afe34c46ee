"""Runs, models and predictions stay with the cells they were made from when their store grows."""

import shutil
from pathlib import Path

import anndata
import numpy as np
import pytest

from cluster.predict.actors import predict
from cluster.predict.options import PredictionRequest
from cluster.runs.begin import OpenRun
from cluster.runs.store_version import open_version
from cluster.settings.config import RunConfig, make_run
from cluster.train import train_here
from cluster.work.evaluate import evaluate
from data_store.ingest.write import IngestOptions, ingest
from data_store.store.reader import Store
from scdfm.screen.progress import Progress
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
    OpenRun(run).check()
    assert train_here(run) == first
    after = evaluate(run.directory)
    assert after.fingerprint == before.fingerprint
    assert after.model_dump_json(include={"tables"}) == before.model_dump_json(include={"tables"})


def test_a_model_is_judged_by_its_own_version_of_a_store_that_is_named(
    run: RunConfig, tiny_adata: anndata.AnnData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="cluster")
    train_here(run)
    before = evaluate(run.directory, store=run.store)
    assert not [line for line in caplog.messages if "version" in line]
    grow(tmp_path / "store", tiny_adata, folder=tmp_path)
    moved = tmp_path / "elsewhere"
    (tmp_path / "store").rename(moved)
    after = evaluate(run.directory, store=str(moved))
    assert after.model_dump_json(include={"tables"}) == before.model_dump_json(include={"tables"})
    assert after.fingerprint == before.fingerprint
    [line] = [line for line in caplog.messages if "version" in line]
    assert line.startswith(f"cells of version {before.fingerprint[:12]} of {moved}, which the")


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


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_prediction_goes_on_with_the_version_of_its_model(
    run: RunConfig,
    tiny_adata: anndata.AnnData,
    tmp_path: Path,
    ray_session: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = train_here(run).model
    with Store.open(run.store) as store:
        trained_on, some = store.fingerprint, sorted(store.conditions)[0]
    asked = PredictionRequest(
        model=model, store=run.store, conditions=(some,), cells=200, out=tmp_path / "before.zarr"
    )
    caplog.set_level("INFO")
    before = anndata.read_zarr(predict(asked))
    assert not [line for line in caplog.messages if "controls of version" in line]

    def interrupt(now: Progress) -> None:
        raise KeyboardInterrupt

    after = asked.model_copy(update={"out": tmp_path / "after.zarr"})
    with pytest.raises(KeyboardInterrupt):
        predict(after, report=interrupt)
    grow(tmp_path / "store", tiny_adata, folder=tmp_path)
    done: list[int] = []
    cells = predict(after, report=lambda now: done.append(now.done))
    assert done == [2]
    said = [line for line in caplog.messages if "controls of version" in line]
    assert [line[:60] for line in said] == [
        f"controls of version {trained_on[:12]} of {run.store}"[:60]
    ]
    np.testing.assert_array_equal(np.asarray(anndata.read_zarr(cells).X), np.asarray(before.X))
    assert predict(asked, report=lambda now: pytest.fail("worked again")) == asked.out


def test_a_version_that_is_not_the_models_is_named(
    tiny_store_path: Path,
    tiny_adata: anndata.AnnData,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="cluster")
    store = tmp_path / "store"
    shutil.copytree(tiny_store_path, store)
    with Store.open(store) as first:
        old = first.fingerprint
    grow(store, tiny_adata, folder=tmp_path)
    with Store.open(store) as grown:
        new = grown.fingerprint

    def opened(**how: object) -> tuple[str, list[str]]:
        caplog.clear()
        with open_version(str(store), **how) as version:  # type: ignore[arg-type]
            said = [line for line in caplog.messages if "version" in line]
            return version.fingerprint, said

    assert opened(trained_on=None) == opened(trained_on=new) == (new, [])
    assert opened(trained_on=old)[0] == opened(trained_on="other", begun_on=old)[0] == old
    found, [line] = opened(trained_on="another")
    assert found == new
    assert f"version {new[:12]} of {store}; the model was made from another" in line
    assert opened(trained_on=old, contexts=["moon"])[0] == new
