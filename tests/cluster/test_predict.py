"""Facts of batch prediction by Ray actors."""

import json
import shutil
from pathlib import Path
from typing import Literal

import anndata
import numpy as np
import pytest
import torch

from cluster.predict.actors import Predictor, predict
from cluster.predict.request import PredictionRequest, Work, look_up
from cluster.runs.config import read_run
from cluster.runs.precision import arithmetic
from data_store.prediction import verify_prediction
from data_store.store.reader import Store


def request(trained: Path, out: Path, **changes: object) -> PredictionRequest:
    run = read_run(trained / "run.yaml")
    with Store.open(run.store) as store:
        singles = sorted(name for name, tokens in store.conditions.items() if len(tokens) == 1)
    values = {
        "model": trained / "model",
        "store": run.store,
        "conditions": (singles[0], f"{singles[2]}+{singles[1]}"),
        "cells": 150,
        "out": out,
    }
    return PredictionRequest.model_validate(values | changes)


def refused(trained: Path, out: Path, **changes: object) -> str:
    asked = request(trained, out, **changes)
    with pytest.raises(ValueError, match=r"\w") as caught:
        predict(asked)
    assert not list(out.parent.iterdir())
    return str(caught.value)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_number_of_actors_and_the_format_change_no_value(
    trained: Path, tmp_path: Path, ray_session: None
) -> None:
    one = anndata.read_zarr(predict(request(trained, tmp_path / "one.zarr"), actors=1))
    two = anndata.read_h5ad(predict(request(trained, tmp_path / "two.h5ad"), actors=2))
    np.testing.assert_array_equal(np.asarray(one.X), two.X.toarray())
    assert one.shape == (2 * 2 * 150, 24)
    assert list(one.obs.columns) == ["condition", "context", "source_cell", "replicate"]
    assert one.obs.equals(two.obs)
    assert {path.name for path in tmp_path.iterdir()} == {"one.zarr", "two.h5ad"}
    assert "threads" in json.loads(two.uns["scdfm"]["provenance"])


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_interrupted_prediction_keeps_its_shards(
    trained: Path, tmp_path: Path, ray_session: None
) -> None:
    asked = request(trained, tmp_path / "cells.zarr")
    seen: list[int] = []

    def interrupt(line: dict[str, int]) -> None:
        seen.append(line["done"])
        if line["done"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(asked, report=interrupt)
    assert not asked.out.exists()
    predict(asked, report=lambda line: seen.append(line["done"]))
    assert seen == [1, 2, 3]
    assert verify_prediction(asked.out) == []
    other = predict(request(trained, tmp_path / "whole.zarr"))
    np.testing.assert_array_equal(
        np.asarray(anndata.read_zarr(asked.out).X), np.asarray(anndata.read_zarr(other).X)
    )
    # Asked once more, it is done; another request does not overwrite it.
    assert predict(asked, report=lambda line: pytest.fail("worked again")) == asked.out
    with pytest.raises(FileExistsError, match="is not this prediction"):
        predict(request(trained, asked.out, cells=7))


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_prediction_that_failed_while_it_was_exported_is_exported_again(
    trained: Path, tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(trained, tmp_path / "cells.h5ad", cells=20)

    def full_disk(path: Path, out: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("cluster.predict.actors.write_h5ad", full_disk)
        with pytest.raises(OSError, match="No space left"):
            predict(asked)
    assert not asked.out.exists()
    predict(asked, report=lambda line: pytest.fail("worked again"))
    assert anndata.read_h5ad(asked.out).n_obs == 2 * 2 * 20
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_more_actors_than_the_cluster_has_cores_are_refused(
    trained: Path, tmp_path: Path, ray_session: None
) -> None:
    asked = request(trained, tmp_path / "cells.zarr", cells=40_000)
    with pytest.raises(ValueError, match="CPUs and the cluster has"):
        predict(asked, actors=500)
    assert list(tmp_path.iterdir()) == []


def test_a_run_stands_for_its_model(trained: Path, tmp_path: Path) -> None:
    asked = request(trained, tmp_path / "cells.zarr", model=trained)
    with Store.open(asked.store) as store:
        assert look_up(asked, store).request.model == trained / "model"


def test_from_control_alone_more_cells_than_controls_would_be_copies(
    trained: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(trained / "model", tmp_path / "model"))
    card = json.loads((model / "model.json").read_text()) | {"source": "control"}
    (model / "model.json").write_text(json.dumps(card))
    (tmp_path / "out").mkdir()
    message = refused(trained, tmp_path / "out" / "x.zarr", model=model, cells=10_000)
    assert "ask for fewer --cells than 10000" in message


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_gene_list_selects_and_never_reshapes(
    trained: Path, tmp_path: Path, ray_session: None
) -> None:
    every = anndata.read_zarr(predict(request(trained, tmp_path / "all.zarr", cells=20)))
    some = tuple(every.var_names[[9, 3]])
    asked = request(trained, tmp_path / "some.zarr", cells=20, genes=some)
    chosen = anndata.read_zarr(predict(asked))
    assert tuple(chosen.var_names) == some
    np.testing.assert_array_equal(np.asarray(chosen.X), np.asarray(every[:, list(some)].X))


def test_parts_cover_every_cell_once(trained: Path, tmp_path: Path) -> None:
    asked = request(trained, tmp_path / "cells.zarr", cells=100)
    with Store.open(asked.store) as store:
        work: Work = look_up(asked, store)
    cells = [
        (context, condition, cell)
        for shard in range(work.shards)
        for context, condition, some in work.parts(shard)
        for cell in range(some.start, some.stop)
    ]
    expected = [(*unit, cell) for unit in work.units for cell in range(100)]
    assert cells == expected


@pytest.mark.parametrize(
    ("precision", "device", "format"),
    [
        ("auto", "cpu", "float32"),
        ("auto", "cuda", "bf16"),
        ("bf16", "cpu", "bf16"),
        ("float32", "cuda", "float32"),
    ],
)
def test_how_cells_are_computed_is_part_of_what_a_prediction_is(
    trained: Path,
    tmp_path: Path,
    precision: str,
    device: Literal["cpu", "cuda"],
    format: str,
) -> None:
    asked = request(trained, tmp_path / "cells.zarr", precision=precision)
    with Store.open(asked.store) as store:
        work = look_up(asked, store, device=device)
    assert work.facts["arithmetic"] == {"device": device, "precision": format}


def test_an_actor_computes_as_it_was_asked_to(trained: Path, tmp_path: Path) -> None:
    generated = []
    for precision in ("float32", "bf16"):
        asked = request(trained, tmp_path / "cells.zarr", precision=precision)
        with Store.open(asked.store) as store:
            work = look_up(asked, store)
        with arithmetic("float32", device=torch.device("cpu")):  # puts back what an actor sets
            actor = Predictor(work, tmp_path, "token", gpu=False, home=Path.cwd())
            [*_, (context, condition, _)] = work.parts(0)
            generated.append(actor.generate(context, condition, slice(0, 8)))
    plain, half = generated
    assert plain.shape == (8, 24)
    assert not np.array_equal(plain, half)
    np.testing.assert_allclose(half, plain, atol=0.05)


def test_an_unknown_perturbation_gets_the_nearest(trained: Path, tmp_path: Path) -> None:
    known = request(trained, tmp_path / "x.zarr").conditions[0]
    message = refused(trained, tmp_path / "x.zarr", conditions=(f"{known}x",))
    assert f"did you mean {known!r}?" in message


def test_control_needs_no_prediction(trained: Path, tmp_path: Path) -> None:
    assert "needs no prediction" in refused(trained, tmp_path / "x.zarr", conditions=("ctrl",))


def test_an_unknown_context_is_named(trained: Path, tmp_path: Path) -> None:
    message = refused(trained, tmp_path / "x.zarr", contexts=("moon",))
    assert "no controls in context 'moon'" in message


def test_an_unknown_gene_is_named(trained: Path, tmp_path: Path) -> None:
    assert "'NOPE' is not one" in refused(trained, tmp_path / "x.zarr", genes=("NOPE",))


def test_the_suffix_must_be_known(trained: Path, tmp_path: Path) -> None:
    assert "end in .h5ad or .zarr" in refused(trained, tmp_path / "x.csv")
