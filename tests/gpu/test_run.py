"""Facts of whole runs on a GPU: train, evaluate and predict say how they computed."""

import json
from pathlib import Path

import anndata
import numpy as np
import pytest

from cluster.predict.actors import predict
from cluster.predict.options import PredictionRequest
from cluster.settings.config import make_run
from cluster.train import train, train_here
from cluster.work.evaluate import evaluate
from data_store.store.reader import Store
from tests.cluster.small import settings
from tests.gpu.devices import ON_GPU

pytestmark = [*ON_GPU, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_run_on_a_gpu_computes_in_half_the_bits_where_the_gpu_has_them(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    run = make_run(settings(tiny_store_path, tmp_path), where="test")
    result = train_here(run, device="cuda")
    assert result.finished
    [how] = json.loads((run.directory / "manifest.json").read_text())["arithmetic"]
    assert how["device"] == "cuda"
    assert how["matmul"] == "highest"
    scores = evaluate(run.directory, gpu=True)
    assert scores.arithmetic.device == "cuda"
    assert scores.arithmetic.precision == how["precision"]


@pytest.mark.parametrize("compile", ["off", "on"])
def test_plain_float32_scores_on_a_gpu_as_on_a_cpu(
    tiny_store_path: Path, tmp_path: Path, compile: str
) -> None:
    values = settings(tiny_store_path, tmp_path / "gpu", precision="float32", compile=compile)
    there = make_run(values, where="test")
    here = make_run(values | {"output": str(tmp_path / "cpu"), "compile": "off"}, where="test")
    train_here(there, device="cuda")
    train_here(here)
    ours, theirs = (
        evaluate(run.directory, precision="float32").tables["scDFM"].overall["mse"].value
        for run in (there, here)
    )
    # Dropout draws other numbers on a GPU: the same to the noise of six steps.
    assert ours == pytest.approx(theirs, rel=0.2)


@pytest.mark.ray
def test_ray_workers_on_gpus_train_and_actors_on_gpus_predict(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    run = make_run(settings(tiny_store_path, tmp_path, precision="float32"), where="test")
    assert train(run, gpu=True, cpus_per_worker=1).finished
    with Store.open(run.store) as store:
        condition = next(name for name, tokens in store.conditions.items() if len(tokens) == 1)
    made = {}
    for gpu in (False, True):
        request = PredictionRequest(
            model=run.directory,
            store=run.store,
            conditions=(condition,),
            cells=8,
            precision="float32",
            out=tmp_path / f"{gpu}.zarr",
        )
        made[gpu] = np.asarray(anndata.read_zarr(predict(request, gpu=gpu)).X)
    np.testing.assert_allclose(made[True], made[False], rtol=1e-3, atol=1e-4)
