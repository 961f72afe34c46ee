"""Facts of the rest of the front door: simulate, ingest, split, train, evaluate, tune, predict."""

import math
from pathlib import Path

import anndata
import pandas as pd
import pytest

import scdfm
from scdfm import RunConfig, TrainedModel
from tests.cluster.small import settings

RUN = {"store": "s", "name": "x", "split": {"kind": "additive"}}


def test_a_simulated_screen_becomes_a_store_that_is_open(tmp_path: Path) -> None:
    screen = scdfm.simulate(cells=200, genes=90, singles=3, doubles=2, seed=1)
    screen.write_h5ad(tmp_path / "screen.h5ad")
    store = scdfm.ingest(tmp_path / "screen.h5ad", tmp_path / "screen.zarr", min_cells=1)
    assert len(store.conditions) == 5
    split = scdfm.make_split(store, kind="list", test=[next(iter(store.conditions))])
    assert split.test == (next(iter(store.conditions)),)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda at: scdfm.simulate(cellz=3), r"unknown setting 'cellz'; did you mean 'cells'\?"),
        (lambda at: scdfm.simulate(cells=5), "expected at least 4 cells"),
        (lambda at: scdfm.ingest(at / "no.h5ad", at / "s", mincells=1), "did you mean 'min_cells'"),
        (lambda at: scdfm.ingest(at / "no.h5ad", at / "s", memory="1KB"), "at least 100MB"),
        (lambda at: scdfm.train({"store": "s", "name": "x"}), "split is missing"),
        (lambda at: scdfm.train(RUN, overrides={"model.widht": 2}), "'model.width'"),
        (lambda at: scdfm.tune({"name": "x"}), "base is missing"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused_in_one_line(tmp_path: Path, call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
        call(tmp_path)


def test_a_missing_file_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.h5ad"):
        scdfm.ingest(tmp_path / "no.h5ad", tmp_path / "s.zarr")
    with pytest.raises(FileNotFoundError, match=r"no\.zarr"):
        scdfm.open_store(tmp_path / "no.zarr")
    with pytest.raises(FileNotFoundError, match=r"no\.yaml"):
        scdfm.train(tmp_path / "no.yaml")


def test_a_run_is_trained_from_a_dict_a_file_or_settings(
    tiny_store_path: Path, tmp_path: Path, trained: Path
) -> None:
    values = settings(tiny_store_path, tmp_path)
    lines: list[object] = []
    run = scdfm.train(values, overrides={"training.steps": 2}, report=lines.append)
    assert run.finished
    assert len(lines) == len(run.history)
    assert run.history["validation.mse"].dropna().iloc[-1] == pytest.approx(run.metrics["mse"])
    assert run.model.card.provenance.step == run.best_step
    # Once more, from the file that it wrote and from the settings therein: it is done.
    config = RunConfig.model_validate(values | {"training": {**values["training"], "steps": 2}})
    for again in (run.directory / "run.yaml", config):
        assert scdfm.train(again).metrics == run.metrics


def test_scores_are_data_frames(model: TrainedModel, trained: Path) -> None:
    scores = scdfm.evaluate(model, cells=10, untrained=True)
    assert list(scores.table.index) == [
        "scDFM", "untrained", "shrunken", "scaled", "additive", "linear", "perturbed mean",
        "control", "noise ceiling",
    ]  # fmt: skip
    assert scores["mse"]["scDFM"] == scores.evaluation.tables["scDFM"].overall["mse"].value
    assert math.isnan(scores["pearson_delta"]["control"])
    assert scores.undefined.loc["control", "pearson_delta"] == 2
    conditions = scores.conditions
    assert set(conditions.index.get_level_values("condition")) == set(model.split.test)
    assert set(scores.contexts.index.get_level_values("context")) == {"line1", "line2"}
    assert conditions.loc[(model.split.test[0], "scDFM"), "mse"] > 0
    same = scdfm.evaluate(trained, cells=10, untrained=True)
    pd.testing.assert_frame_equal(same.table, scores.table)


def test_scores_are_shown_whole(model: TrainedModel) -> None:
    scores = scdfm.evaluate(model, cells=2)
    for shown in (repr(scores), scores._repr_html_()):
        assert "…" not in shown
        assert "..." not in shown
        assert f"{scores['mse']['additive']:.5f}" in shown


def test_another_store_can_be_named_by_path_or_open(
    model: TrainedModel, tiny_store_path: Path
) -> None:
    with scdfm.open_store(tiny_store_path) as store:
        one, other = (scdfm.evaluate(model, store=at, cells=3) for at in (store, tiny_store_path))
    pd.testing.assert_frame_equal(one.table, other.table)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_cells_are_predicted_by_actors(
    model: TrainedModel, tiny_store_path: Path, tmp_path: Path, ray_session: None
) -> None:
    asked = [model.perturbations[0]]
    out = scdfm.predict(
        model,
        store=tiny_store_path,
        conditions=asked,
        cells=6,
        controls=True,
        out=tmp_path / "cells.h5ad",
    )
    written = anndata.read_h5ad(out)
    controls = scdfm.control_cells(tiny_store_path)
    mine = model.predict(controls, asked, cells=6, with_controls=True)
    pd.testing.assert_frame_equal(written.obs, mine.obs)
    ours, theirs = mine.uns["scdfm"], written.uns["scdfm"]
    assert ours.keys() == theirs.keys()
    assert [ours[one] for one in ("scale", "control")] == [
        theirs[one] for one in ("scale", "control")
    ]
    assert abs(written.X - mine.X).max() < 1e-5


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_sweep_from_a_dict_gives_its_best_model(
    tiny_store_path: Path, tmp_path: Path, ray_session: None
) -> None:
    base = settings(tiny_store_path, tmp_path)
    del base["name"], base["output"], base["threads"]
    sweep = scdfm.tune(
        {
            "name": "sweep",
            "output": str(tmp_path / "runs"),
            "base": base,
            "configurations": {"narrow": {"model.width": 8}, "wide": {"model.width": 16}},
        },
        overrides={"budget.trials": 2},
    )
    assert list(sweep.leaderboard["rank"]) == [1, 2]
    assert sweep.configuration["model.width"] == sweep.leaderboard["model.width"].iloc[0]
    assert sweep.model.card.model.width == sweep.configuration["model.width"]


def test_cells_in_memory_give_the_store_that_their_file_gives(
    tiny_adata: anndata.AnnData, tiny_store_path: Path, tmp_path: Path
) -> None:
    store = scdfm.ingest(tiny_adata, tmp_path / "memory.zarr", context_column="context")
    assert store.fingerprint == scdfm.open_store(tiny_store_path).fingerprint


def test_one_name_is_taken_where_a_command_takes_one_or_several(
    tiny_adata: anndata.AnnData, tmp_path: Path
) -> None:
    cells = tiny_adata.copy()
    labels = cells.obs["condition"].astype(str)
    cells.obs["condition"] = labels.where(labels != "control", "PBS")
    store = scdfm.ingest(cells, tmp_path / "pbs.zarr", control="PBS")
    assert store.words.parse("PBS") == ()
