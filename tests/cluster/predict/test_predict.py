"""Facts of batch prediction by Ray actors."""

import json
import shutil
from pathlib import Path
from typing import Literal

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

from cluster.predict.actors import Predictor, predict
from cluster.predict.options import PredictionRequest
from cluster.predict.place import PredictionPlace
from cluster.predict.request import Part, Work, look_up
from cluster.runs.precision import arithmetic
from cluster.work.evaluate import evaluate
from data_store.store.reader import Store
from scdfm.screen import sealed
from scdfm.splits import Split
from tests.cluster.predict.asking import refused, request


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
    assert list(one.obs.columns) == [
        "condition", "context", "source_cell", "replicate", "control", "unseen", "distance",
    ]  # fmt: skip
    assert one.obs.equals(two.obs)
    assert {path.name for path in tmp_path.iterdir()} == {"one.zarr", "two.h5ad"}
    assert json.loads(two.uns["scdfm"]["provenance"])["identity"]["threads"] == 1
    assert two.uns["scdfm"]["scale"] == "log1p(counts / library size * 10000)"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_controls_stand_beside_predictions_and_change_none_of_them(
    trained: Path, tmp_path: Path, ray_session: None
) -> None:
    alone = anndata.read_zarr(predict(request(trained, tmp_path / "alone.zarr", cells=50)))
    asked = request(trained, tmp_path / "beside.h5ad", cells=50, controls=True)
    beside = anndata.read_h5ad(predict(asked))
    with Store.open(asked.store) as store:
        controls = store.controls
        genes = [store.genes.index(gene) for gene in beside.var_names]
        expected = np.concatenate(
            [store.expression(unit.start, unit.stop)[:, genes] for unit in controls.values()]
        )
        label = store.words.spell(())
    real = beside.obs["control"].to_numpy()
    np.testing.assert_array_equal(beside.X.toarray()[~real], np.asarray(alone.X))
    np.testing.assert_array_equal(beside.X.toarray()[real], expected)
    assert set(beside.obs["condition"][real]) == {label}
    assert label not in set(beside.obs["condition"][~real])
    assert beside.obs_names.is_unique
    assert set(beside.obs["context"][real]) == set(controls)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_token_that_no_training_cell_had_is_said_and_flagged(
    trained: Path, tmp_path: Path, ray_session: None, caplog: pytest.LogCaptureFixture
) -> None:
    card = json.loads((trained / "model" / "model.json").read_text())
    known = request(trained, tmp_path / "x.zarr").conditions[0]
    new = next(gene for gene in card["genes"] if gene not in card["perturbations"])
    asked = request(
        trained, tmp_path / "x.zarr", cells=4, conditions=(known, f"{new}+{known}", new)
    )
    found = anndata.read_zarr(predict(asked)).obs
    flags = dict(zip(found["condition"], found["unseen"], strict=True))
    assert flags == {known: "", "+".join(sorted((new, known))): new, new: new}
    assert any(f"no training cell had {new}" in line for line in caplog.messages)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_more_actors_than_the_cluster_has_cores_are_refused(
    trained: Path, tmp_path: Path, ray_session: None
) -> None:
    asked = request(trained, tmp_path / "cells.zarr", cells=40_000)
    with pytest.raises(ValueError, match=r"actors of 1 CPU, .* --actors"):
        predict(asked, actors=500)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_a_summary_of_a_prediction_scores_as_the_model_does(
    trained: Path, tmp_path: Path, ray_session: None, suffix: str
) -> None:
    test = Split.load(trained / "model" / "split.json").test
    asked = request(
        trained, tmp_path / f"x.{suffix}", conditions=test, cells=70, seed=3, controls=True
    )
    predict(asked, summary=tmp_path / "means.csv")
    # What is complete is not predicted again.
    predict(asked, summary=tmp_path / "means.parquet")
    table = pd.read_csv(tmp_path / "means.csv")
    other = pd.read_parquet(tmp_path / "means.parquet")
    pd.testing.assert_frame_equal(table, other, rtol=1e-6, check_dtype=False)
    assert [*table.columns[:3]] == ["condition", "context", "cells"]
    assert set(table["cells"]) == {70}
    assert len(table) == len(test) * len(asked_contexts(asked))
    found = evaluate(
        trained,
        predictions={"SUMMARY": tmp_path / "means.csv"},
        metrics=["mse", "pearson_delta"],
        cells=70,
        seed=3,
        keep=False,
    )
    for metric, score in found.tables["scDFM"].overall.items():
        told = found.tables["SUMMARY"].overall[metric].value
        assert told == pytest.approx(score.value, rel=1e-5, abs=1e-5)


def asked_contexts(asked: PredictionRequest) -> tuple[str, ...]:
    with Store.open(asked.store) as store:
        return tuple(store.controls)


def test_a_summary_of_another_kind_is_refused_before_anything_is_done(
    trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"--summary to end in \.csv or \.parquet, got 'x.txt'"):
        predict(request(trained, tmp_path / "x.zarr"), summary=tmp_path / "x.txt")
    assert not [*tmp_path.iterdir()]


def test_a_run_stands_for_its_model(trained: Path, tmp_path: Path) -> None:
    asked = request(trained, tmp_path / "cells.zarr", model=trained)
    with Store.open(asked.store) as store:
        assert look_up(asked, store).request.model == trained / "model"


def test_from_control_alone_more_cells_than_controls_would_be_copies(
    trained: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(trained / "model", tmp_path / "model"))
    (model / sealed.FILE).unlink()  # the card is changed
    card = json.loads((model / "model.json").read_text()) | {"source": "control"}
    (model / "model.json").write_text(json.dumps(card))
    (tmp_path / "out").mkdir()
    message = refused(trained, tmp_path / "out" / "x.zarr", model=model, cells=10_000)
    assert "got --cells 10000; ask for at most" in message


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
    asked = request(trained, tmp_path / "cells.zarr", cells=100, controls=True)
    with Store.open(asked.store) as store:
        work: Work = look_up(asked, store)
    cells = [
        (part.unit, cell)
        for shard in range(work.shards)
        for part in work.parts(shard)
        for cell in range(part.cells.start, part.cells.stop)
    ]
    assert cells == [(unit, cell) for unit in work.units for cell in range(unit.cells)]
    assert [unit.cells for unit in work.units[:4]] == [100] * 4
    assert all(unit.condition == () for unit in work.units[4:])


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
    assert (work.identity.device, work.identity.precision) == (device, format)


def test_an_actor_computes_as_it_was_asked_to(trained: Path, tmp_path: Path) -> None:
    generated = []
    for precision in ("float32", "bf16"):
        asked = request(trained, tmp_path / "cells.zarr", precision=precision)
        with Store.open(asked.store) as store:
            work = look_up(asked, store)
        with arithmetic("float32", device=torch.device("cpu")):  # puts back what an actor sets
            actor = Predictor(work, PredictionPlace(asked.out), "token", gpu=False)
            [*_, part] = work.parts(0)
            generated.append(actor.cells(Part(part.unit, slice(0, 8))))
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
