"""Facts of predicting in a notebook: AnnData in, AnnData out, without Ray."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest

import scdfm
from cluster.predict.actors import Predictor
from cluster.predict.options import PredictionRequest
from cluster.predict.place import PredictionPlace
from cluster.predict.request import Part, look_up
from scdfm import Store, TrainedModel


@pytest.fixture
def conditions(model: TrainedModel) -> list[str]:
    one, two, three = model.perturbations[:3]
    return [one, f"{three}+{two}"]


def predicted_by_an_actor(
    trained: Path, store: Path, conditions: list[str], *, cells: int, seed: int
) -> dict[tuple[str, str], np.ndarray]:
    """What `scdfm predict` computes for each context and condition, (cells, genes)."""
    request = PredictionRequest.model_validate(
        {
            "model": trained,
            "store": str(store),
            "conditions": conditions,
            "cells": cells,
            "seed": seed,
            "out": "none.zarr",
        }
    )
    with Store.open(store) as opened:
        work = look_up(request, opened)
    actor = Predictor(work, PredictionPlace(request.out), "token", gpu=False)
    return {
        (unit.context, unit.label): actor.cells(Part(unit, slice(0, cells))) for unit in work.units
    }


def test_controls_of_a_store_give_what_the_command_gives_for_the_store(
    trained: Path,
    tiny_store_path: Path,
    model: TrainedModel,
    controls: anndata.AnnData,
    conditions: list[str],
) -> None:
    expected = predicted_by_an_actor(trained, tiny_store_path, conditions, cells=40, seed=3)
    predicted = model.predict(controls, conditions, cells=40, seed=3)
    assert len(expected) == 4
    for (context, condition), values in expected.items():
        mine = predicted[
            ((predicted.obs.context == context) & (predicted.obs.condition == condition)).to_numpy()
        ]
        np.testing.assert_allclose(mine.X.toarray(), values, atol=1e-5)


def test_the_order_of_controls_from_a_store_changes_no_value(
    model: TrainedModel, controls: anndata.AnnData, conditions: list[str]
) -> None:
    turned = controls[::-1, ::-1].copy()
    one, other = (model.predict(some, conditions, cells=9) for some in (controls, turned))
    assert one.obs.equals(other.obs)
    np.testing.assert_array_equal(one.X.toarray(), other.X.toarray())


def test_logs_give_what_their_counts_give(
    model: TrainedModel, controls: anndata.AnnData, conditions: list[str]
) -> None:
    logs = controls.copy()
    scale = 10_000 / controls.obs["library_size"].to_numpy()
    logs.X = logs.X.multiply(scale[:, None]).log1p().tocsr().astype(np.float32)
    one, other = (model.predict(some, conditions, cells=9) for some in (controls, logs))
    np.testing.assert_allclose(one.X.toarray(), other.X.toarray(), atol=1e-4)


def test_every_control_cell_is_used_once_where_no_number_is_asked_for(
    model: TrainedModel, controls: anndata.AnnData, conditions: list[str]
) -> None:
    predicted = model.predict(controls, conditions)
    assert predicted.shape == (2 * controls.n_obs, len(model.genes))
    for _, unit in predicted.obs.groupby("condition", observed=True):
        assert sorted(unit.source_cell) == sorted(controls.obs_names)
        assert set(unit.replicate) == {0}


def test_a_gene_list_selects_and_never_reshapes(
    model: TrainedModel, controls: anndata.AnnData, conditions: list[str]
) -> None:
    some = [model.genes[9], model.genes[3]]
    every = model.predict(controls, conditions, cells=5)
    chosen = model.predict(controls, conditions, cells=5, genes=some)
    assert list(chosen.var_names) == some
    np.testing.assert_array_equal(chosen.X.toarray(), every[:, some].X.toarray())


def test_one_condition_needs_no_list_and_any_spelling_is_the_same(
    model: TrainedModel, controls: anndata.AnnData, conditions: list[str]
) -> None:
    one, two = conditions[1].split("+")
    spelt = (f"{one}+{two}", [f"{two}+{one}"], [f"{one}+ctrl+{two}", f"{two} + {one}"])
    results = [model.predict(controls, asked, cells=3) for asked in spelt]
    for result in results:
        np.testing.assert_array_equal(result.X.toarray(), results[0].X.toarray())
        assert list(result.obs_names) == list(results[0].obs_names)


def test_what_is_predicted_can_be_written_and_says_its_scale(
    model: TrainedModel, controls: anndata.AnnData, conditions: list[str], tmp_path: Path
) -> None:
    predicted = model.predict(controls, conditions, cells=3, seed=5)
    predicted.write_h5ad(tmp_path / "predicted.h5ad")
    read = anndata.read_h5ad(tmp_path / "predicted.h5ad")
    assert "log1p" in read.uns["scdfm"]["scale"]
    assert json.loads(read.uns["scdfm"]["provenance"])["seed"] == 5
    assert list(read.obs.condition.cat.categories) == sorted(set(read.obs.condition))


def test_a_run_that_moved_stands_for_its_model(
    trained: Path, tmp_path: Path, model: TrainedModel
) -> None:
    moved = shutil.copytree(trained, tmp_path / "elsewhere")
    for place in (moved, moved / "model", str(moved)):
        assert scdfm.load_model(place).card == model.card


def test_a_place_without_a_model_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^[^\n]*no such run or model[^\n]*$"):
        scdfm.load_model(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"^[^\n]*expected a run, a sweep or a model, got[^\n]*$"):
        scdfm.load_model(tmp_path)


def test_wrong_wishes_are_refused_in_one_line(
    model: TrainedModel, controls: anndata.AnnData
) -> None:
    [known, *_] = model.perturbations
    wishes = {
        f"did you mean '{known}'": {"conditions": f"{known}x"},
        "needs no prediction": {"conditions": "control"},
        "got none": {"conditions": []},
        "is not one": {"conditions": known, "genes": ["NOPE"]},
        "cells must be at least 1": {"conditions": known, "cells": 0},
        "device must be cpu or cuda": {"conditions": known, "device": "abacus"},
        "no layer 'log'": {"conditions": known, "layer": "log"},
        "no obs column 'patient'": {"conditions": known, "context_column": "patient"},
    }
    for message, wish in wishes.items():
        with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
            model.predict(controls, **wish)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_loading_predicting_and_judging_need_no_ray(trained: Path, tiny_store_path: Path) -> None:
    code = (
        "import sys, scdfm\n"
        f"model = scdfm.load_model({str(trained)!r})\n"
        f"controls = scdfm.control_cells({str(tiny_store_path)!r})\n"
        "predicted = model.predict(controls, model.perturbations[0], cells=2)\n"
        "scores = scdfm.evaluate(model, cells=2)\n"
        "print(predicted.n_obs, 'scDFM' in scores.table.index, 'ray' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280)
    assert done.stdout.split() == ["4", "True", "False"], done.stderr


def test_what_no_training_cell_had_is_flagged_and_said(
    model: TrainedModel, controls: anndata.AnnData, caplog: pytest.LogCaptureFixture
) -> None:
    known, new = (
        model.perturbations[0],
        next(g for g in model.genes if g not in model.perturbations),
    )
    predicted = model.predict(controls, [known, f"{known}+{new}"], cells=2)
    assert set(predicted.obs.unseen) == {"", new}
    assert f"no training cell had {new}" in caplog.text
