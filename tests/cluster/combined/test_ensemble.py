"""Facts of ensembles: members, resuming, cells, intervals."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

import scdfm
from cluster.predict.actors import Predictor
from cluster.predict.intervals import trust_of
from cluster.predict.options import PredictionRequest
from cluster.predict.place import Begun, PredictionPlace
from cluster.predict.request import Work, look_up
from cluster.predict.rows import obs_of
from cluster.predict.summary import add_intervals, write_summary
from cluster.runs.directory import RunDirectory
from cluster.runs.find_model import model_directory
from cluster.runs.fine_tune import source_model
from cluster.runs.inspect_run import describe_model, describe_run
from cluster.runs.records import Line
from cluster.settings.config import make_run, read_run
from cluster.train import train_here
from cluster.work.evaluate import evaluate
from cluster.work.members.facts import member_seed, members_of_run
from cluster.work.watch.now import now
from data_store.sources.predictions import read_predictions
from data_store.store.reader import Store
from scdfm.flow.certainty.ensemble import open_model
from scdfm.flow.certainty.intervals import pooled
from scdfm.flow.checkpoint import load_model, read_card
from scdfm.flow.files import CARD, ENSEMBLE, WEIGHTS
from tests.cluster.combined.conftest import combining
from tests.cluster.small import settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told() -> list[Line]:
    return []


@pytest.fixture(scope="module")
def ensemble(
    tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory, told: list[Line]
) -> Path:
    """The directory of a finished run of two members; do not change it."""
    run = combining(tiny_store_path, tmp_path_factory.mktemp("ensemble"), ensemble=2)
    return train_here(run, report=told.append).directory


def contents(run: Path) -> dict[str, bytes]:
    """What must not depend on where a run was stopped; provenance may name places."""
    model = run / "model"
    files = [model / ENSEMBLE, *sorted(model.glob("members/*/*.safetensors"))]
    return {str(file.relative_to(run)): file.read_bytes() for file in [*files, run / "result.json"]}


def test_members_are_runs_from_seeds_that_follow_from_the_run_s(
    ensemble: Path, combined: Path
) -> None:
    run = read_run(ensemble / "run.yaml")
    seeds = [one.run.seed for one in members_of_run(run)]
    assert seeds == [run.seed, member_seed(run.seed, 1)]
    assert len({member_seed(run.seed, number) for number in range(50)}) == 50
    first, second = (ensemble / "model" / "members" / str(number) for number in (0, 1))
    assert [load_model(one).card.seed for one in (first, second)] == seeds
    # The first is the model that the run would be without an ensemble.
    alone = (combined / "model" / WEIGHTS).read_bytes()
    assert (first / WEIGHTS).read_bytes() == alone
    assert (second / WEIGHTS).read_bytes() != alone


def test_lines_say_whose_they_are_and_a_note_what_was_reached(
    ensemble: Path, told: list[Line]
) -> None:
    members = [line.get("member") for line in told]
    changes = [one for k, one in enumerate(members) if k == 0 or members[k - 1] != one]
    assert changes == [1, 2, None]
    assert "2 members: mse" in told[-1]["note"]
    assert [*RunDirectory(ensemble).journal.lines()] == [told[-1]]
    result = RunDirectory(ensemble).result()
    each = [one.best for one in RunDirectory(ensemble).members]
    scores = [one.metrics["mse"] for one in each if one is not None]
    assert result.finished
    assert result.metrics["mse"] == pytest.approx(np.mean(np.array(scores, dtype=float)))


@pytest.mark.parametrize(
    "at",
    [
        lambda line: line.get("member") == 1 and line["step"] == 3,
        lambda line: line.get("member") == 2 and line["step"] == 4 and "validation" in line,
        lambda line: "2 members" in line.get("note", ""),
    ],
    ids=["in the first", "in the second", "before the end"],
)
def test_an_ensemble_stopped_anywhere_ends_with_the_same_bytes(
    ensemble: Path, tiny_store_path: Path, tmp_path: Path, at: Callable[[Line], bool]
) -> None:
    run = combining(tiny_store_path, tmp_path, ensemble=2)

    def report(line: Line) -> None:
        if at(line):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_here(run, report=report)
    members = RunDirectory(run.directory).members
    done = [int(one.path.name) + 1 for one in members if one.finished]
    trains = now(RunDirectory(run.directory)).member
    assert trains == (None if len(done) == 2 else (len(members), 2))
    again: list[Line] = []
    assert train_here(run, report=again.append).finished
    assert contents(run.directory) == contents(ensemble)
    assert describe_run(run.directory)["sessions"] == (1 if len(done) == 2 else 2)
    assert not {*done} & {line.get("member") for line in again}
    assert len([*RunDirectory(run.directory).journal.lines()]) == 1


def test_another_number_of_members_is_another_run(ensemble: Path) -> None:
    run = read_run(ensemble / "run.yaml")
    for other in (None, 3):
        with pytest.raises(ValueError, match=r"holds another run: ensemble was 2 and is now"):
            train_here(run.model_copy(update={"ensemble": other}))


def test_the_card_is_that_of_all_members(ensemble: Path) -> None:
    cards = [load_model(one).card for one in sorted((ensemble / "model" / "members").iterdir())]
    card = read_card(ensemble / "model")
    flows = [one.mean.flow for one in cards if one.mean is not None]
    assert card.mean is not None
    assert card.mean.flow == pytest.approx(np.mean(flows))
    ends = [one.mean.interval for one in cards if one.mean is not None]
    assert card.mean.interval == pytest.approx(np.mean(np.array(ends, dtype=float), axis=0))
    shown = describe_model(ensemble / "model")["mean"]
    assert shown is not None
    assert shown["flow"]["interval"] == pytest.approx(card.mean.interval, abs=1e-3)
    known = [one.interval for one in cards if one.interval is not None]
    assert card.interval == pooled(known, apart=False)
    assert card.interval is not None
    assert card.interval.units == known[0].units
    run = describe_run(ensemble)
    assert (run["ensemble"], run["sessions"]) == ({"of": 2, "finished": 2}, 1)
    assert describe_model(ensemble / "model")["ensemble"]["seeds"] == tuple(
        one.seed for one in cards
    )


def predicted(run: Path, out: Path, *, order: slice = slice(None), **asked: Any) -> Work:
    """A complete prediction of two conditions, as `scdfm predict` makes it, without Ray."""
    store = read_card(model_directory(run)).provenance.store
    with Store.open(store) as opened:
        singles = sorted(one for one, tokens in opened.conditions.items() if len(tokens) == 1)
        names = (singles[0], f"{singles[1]}+{singles[3]}")
        request = PredictionRequest(model=run, store=store, conditions=names, out=out, **asked)
        work = look_up(request, opened)
        place, card = PredictionPlace(out), read_card(work.request.model)
        with place.writing() as token:
            place.begin(
                Begun(provenance=work.provenance, model=str(run), store=store),
                obs=obs_of(work, opened),
                genes=tuple(card.genes[gene] for gene in work.genes),
                control="control",
                rows=256,
            )
            actor = Predictor(work, place, token, gpu=False)
            for shard in range(work.shards)[order]:
                actor.write(shard)
            add_intervals(place.cells, work, opened)
            place.cells.seal(work.provenance.facts())
            place.finish()
        place.tidy()
    return work


def test_members_make_every_second_cell_whatever_the_shards(ensemble: Path, tmp_path: Path) -> None:
    predicted(ensemble, tmp_path / "a.zarr", cells=140)
    predicted(ensemble, tmp_path / "b.zarr", cells=140, order=slice(None, None, -1))
    one, other = (anndata.read_zarr(tmp_path / name) for name in ("a.zarr", "b.zarr"))
    np.testing.assert_array_equal(one.X, other.X)
    pd.testing.assert_frame_equal(
        scdfm.intervals(tmp_path / "a.zarr"), scdfm.intervals(tmp_path / "b.zarr")
    )
    for number in (0, 1):
        predicted(ensemble / "model" / "members" / str(number), tmp_path / f"{number}.zarr")
    each = [anndata.read_zarr(tmp_path / f"{number}.zarr") for number in (0, 1)]
    unit = one.obs_names.str.startswith(one.obs_names[0].rpartition("|")[0])
    names = one.obs_names[unit]
    for place, name in enumerate(names[:30]):
        np.testing.assert_allclose(
            one[name].X, each[place % 2][name].X, atol=1e-5, err_msg=f"{place}"
        )
    fewer = predicted(ensemble, tmp_path / "c.zarr", cells=9)
    assert fewer.cells == 9 * 4
    few = anndata.read_zarr(tmp_path / "c.zarr")
    np.testing.assert_allclose(few[names[:9]].X, one[names[:9]].X, atol=1e-5)


def test_a_table_of_a_prediction_has_means_intervals_and_distances(
    ensemble: Path, tmp_path: Path
) -> None:
    work = predicted(ensemble, tmp_path / "x.h5ad", cells=60, interval=0.8, controls=True)
    table = scdfm.intervals(tmp_path / "x.h5ad")
    assert table.attrs["level"] == 0.8
    assert "spread of 2 members" in table.attrs["note"]
    assert (table["low"] <= table["mean"]).all()
    assert (table["mean"] < table["high"]).all()
    assert (table["low"] >= 0).all()
    known = table.groupby("condition")[["distance", "new"]].first()
    assert [*known["distance"]] == [0, 1]
    assert [*known["new"]] == ["trained", "new combination"]
    cells = anndata.read_h5ad(tmp_path / "x.h5ad")
    assert set(cells.obs.loc[~cells.obs.control, "distance"]) == {0, 1}
    write_summary(tmp_path / "means.csv", work)
    with Store.open(work.request.store) as store:
        read = read_predictions(
            tmp_path / "means.csv", words=store.words, contexts=tuple(store.controls)
        )
    assert read.genes == tuple(cells.var_names)
    first = table[(table.condition == known.index[0])].set_index(["context", "gene"])["mean"]
    wide = pd.read_csv(tmp_path / "means.csv").set_index(["condition", "context"])
    for (context, gene), value in first.items():
        assert wide.loc[(known.index[0], context), gene] == pytest.approx(value, abs=1e-6)


def test_a_notebook_gets_what_the_command_writes(
    ensemble: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    work = predicted(ensemble, tmp_path / "x.zarr", cells=20, seed=2)
    labels = [unit.label for unit in work.units[:2]]
    model = scdfm.load_model(ensemble)
    cells = model.predict(scdfm.control_cells(tiny_store_path), labels, cells=20, seed=2)
    mine, theirs = scdfm.intervals(cells), scdfm.intervals(tmp_path / "x.zarr")
    pd.testing.assert_frame_equal(mine, theirs, atol=1e-5, check_dtype=False)
    assert mine.attrs == theirs.attrs


def test_cells_without_a_table_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.h5ad").write_text("no file of ours")
    for cells in (anndata.AnnData(np.ones((2, 3))), tmp_path / "x.h5ad"):
        with pytest.raises(ValueError, match=r"^expected cells that scdfm predicted, got some"):
            scdfm.intervals(cells)
    with pytest.raises(FileNotFoundError, match="no such prediction"):
        scdfm.intervals(tmp_path / "y.h5ad")


def test_one_model_has_intervals_and_says_that_no_members_were_compared(
    combined: Path, trained: Path, tmp_path: Path
) -> None:
    base = trust_of(combined / "model").words(level=0.9)
    assert base.startswith("90 % intervals: noise of the cells; error of the base x ")
    assert base.endswith("; one model, so no spread between members")
    plain = trust_of(trained / "model").words(level=0.9)
    assert "error of the model, by" in plain
    for number, run in enumerate((combined, trained)):
        predicted(run, tmp_path / f"{number}.zarr", cells=30)
    table = scdfm.intervals(tmp_path / "0.zarr")
    widths = (table["high"] - table["low"]).groupby(table["distance"]).mean()
    assert widths[1] > widths[0]  # what was not measured is less sure than what was
    table = scdfm.intervals(tmp_path / "1.zarr")
    assert (table["low"] < table["high"]).all()


def test_evaluate_takes_an_ensemble_as_one_model(ensemble: Path) -> None:
    result = evaluate(ensemble, metrics=["mse"], untrained=True, keep=False)
    rows = {name: table.overall["mse"].value for name, table in result.tables.items()}
    assert {"scDFM", "flow alone", "untrained", "additive"} <= rows.keys()
    members = sorted((ensemble / "model" / "members").iterdir())
    each = [
        evaluate(one, metrics=["mse"], keep=False).tables["scDFM"].overall["mse"].value
        for one in members
    ]
    # The error of a mean is at most the mean error.
    assert rows["scDFM"] <= np.mean(each) + 1e-9


def test_folds_are_the_members_where_there_are_some(tiny_store_path: Path, tmp_path: Path) -> None:
    validation = {"cells": 8, "steps": 2, "folds": 2}
    run = combining(tiny_store_path, tmp_path, ensemble=2, validation=validation)
    result = train_here(run)
    model = open_model(result.model)
    folds = RunDirectory(run.directory).folds
    assert [(one.path / "model" / WEIGHTS).read_bytes() for one in folds] == [
        (one / WEIGHTS).read_bytes() for one in sorted((result.model / "members").iterdir())
    ]
    assert model.split.validation == ()
    assert model.card.interval is not None
    assert model.card.interval.units == 8  # four doubles in two contexts
    with pytest.raises(ValueError, match="set both to the same"):
        combining(tiny_store_path, tmp_path, ensemble=3, validation=validation)


def test_a_damaged_ensemble_is_refused_in_one_line(ensemble: Path, tmp_path: Path) -> None:
    model = shutil.copytree(ensemble / "model", tmp_path / "model")
    shutil.rmtree(model / "members" / "1")
    with pytest.raises(ValueError, match=r"expected 2 members in .*, got 1; restore it"):
        open_model(model)
    shutil.copytree(model / "members" / "0", model / "members" / "1")
    with pytest.raises(ValueError, match=r"members/1 is not the member that ensemble.json names"):
        open_model(model)
    text = (model / ENSEMBLE).read_text()
    (model / ENSEMBLE).write_text(text.replace("seeds", "folds", 1))
    with pytest.raises(ValueError, match=r"ensemble.json is damaged"):
        open_model(model)
    with pytest.raises(ValueError, match=r"expected one model, got .*members/0"):
        load_model(model)
    assert json.loads((model / CARD).read_text())["seed"] == 1
    with pytest.raises(ValueError, match=r"^init_from: expected one model, got .*members/0$"):
        source_model(ensemble)


def test_what_draws_nothing_has_no_members(tmp_path: Path) -> None:
    values = settings(tmp_path, tmp_path)
    plain = {name: values[name] for name in ("store", "name", "output", "split", "genes")}
    with pytest.raises(ValueError, match="members would all be the same"):
        make_run({**plain, "method": "shrunken", "ensemble": 2}, where="test")
