"""Facts of a run whose folds validate."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.runs.directory import RunDirectory
from cluster.runs.inspect_run import describe_run
from cluster.runs.plan import run_split
from cluster.runs.records import Line
from cluster.settings.config import RunConfig, ValidationConfig, make_run
from cluster.train import train_here
from cluster.work.folds.facts import folds_of, found
from data_store.store.reader import Store
from scdfm.flow.checkpoint import load_model
from scdfm.flow.combined import Evidence, weigh
from scdfm.splits import Split, SplitConfig
from tests.cluster.small import settings

pytestmark = pytest.mark.slow


def with_folds(store: Path, output: Path, **changes: Any) -> RunConfig:
    own = {
        "validation": {"cells": 8, "steps": 2, "folds": 2},
        "sampling": {"steps": 2, "batch": 16, "mean": "shrunken"},
    }
    return make_run(settings(store, output, **own, **changes), where="test")


@pytest.fixture(scope="module")
def told() -> list[Line]:
    return []


@pytest.fixture(scope="module")
def whole(
    tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory, told: list[Line]
) -> Path:
    """The directory of a finished run with two folds; do not change it."""
    run = with_folds(tiny_store_path, tmp_path_factory.mktemp("folds"))
    return train_here(run, report=told.append).directory


def contents(directory: Path) -> dict[str, bytes]:
    """What must not depend on where a run was stopped."""
    kept = ["model/model.safetensors", "model/base.safetensors", "split.json", "result.json"]
    files = [*kept, *(f"folds/{fold}/{name}" for fold in (0, 1) for name in kept)]
    return {name: (directory / name).read_bytes() for name in files}


def stopping(at: Callable[[Line], bool]) -> Callable[[Line], None]:
    def report(line: Line) -> None:
        if at(line):
            raise KeyboardInterrupt

    return report


def test_each_fold_is_a_run_without_its_share_and_the_last_trains_on_all(whole: Path) -> None:
    last = Split.load(whole / "split.json")
    folds = [Split.load(fold.path / "split.json") for fold in RunDirectory(whole).folds]
    assert len(folds) == 2
    for fold in folds:
        assert {*fold.train, *fold.validation} == {*last.train}
        assert not {*fold.train} & {*fold.validation}
        assert fold.test == last.test
    assert last.validation == ()
    assert not {*last.test} & {*last.train}
    assert load_model(whole / "model").split == last


def test_the_steps_are_those_with_the_best_mean_over_folds(whole: Path) -> None:
    curves = [
        {one["step"]: one["validation"]["mse"] for one in fold.journal.lines() if "best" in one}
        for fold in RunDirectory(whole).folds
    ]
    means = {step: (curves[0][step] + curves[1][step]) / 2 for step in curves[0]}
    best = min(means, key=means.__getitem__)
    result = RunDirectory(whole).result()
    assert result.finished
    assert result.best_step == best
    assert result.metrics["mse"] == means[best]
    assert max(line["step"] for line in RunDirectory(whole).journal.lines()) == best
    facts = load_model(whole / "model").card.provenance.folds
    assert facts is not None
    assert facts.step == best
    assert list(facts.alone) == [min(curve, key=curve.__getitem__) for curve in curves]
    assert describe_run(whole)["folds"]["finished"] == 2


def test_the_flow_is_weighed_on_the_units_of_all_folds_together(whole: Path) -> None:
    best = RunDirectory(whole).result().best_step
    flows = [
        line["flow"]
        for fold in RunDirectory(whole).folds
        for line in fold.journal.lines()
        if line["step"] == best and "flow" in line
    ]
    both, square = ([x for one in flows for x in one[name]] for name in ("both", "square"))
    weight = load_model(whole / "model").card.mean
    assert weight is not None
    assert weight.units == len(both) == 8  # four doubles in two contexts
    together = weigh(Evidence(np.array(both), np.array(square)))
    assert (weight.flow, weight.interval) == (together.flow, together.interval)
    assert not weight.guess


def test_lines_of_a_fold_say_which(whole: Path, told: list[Line]) -> None:
    folds = [line.get("fold") for line in told]
    assert [one for k, one in enumerate(folds) if k == 0 or folds[k - 1] != one] == [1, 2, None]
    assert all(line["folds"] == 2 for line in told if "fold" in line)
    notes = [line["note"] for line in told if "2 folds: mean mse" in line.get("note", "")]
    assert len(notes) == 1
    assert notes[0] in {line.get("note") for line in RunDirectory(whole).journal.lines()}


@pytest.mark.parametrize(
    "at",
    [
        lambda line: line.get("fold") == 1 and line["step"] == 5,
        lambda line: line.get("fold") == 2 and line["step"] == 4 and "validation" in line,
        lambda line: "fold" not in line and line["step"] == 2 and "validation" in line,
    ],
    ids=["in the first fold", "in the second fold", "in the last training"],
)
def test_a_run_stopped_anywhere_ends_with_the_same_bytes(
    whole: Path, tiny_store_path: Path, tmp_path: Path, at: Callable[[Line], bool]
) -> None:
    run = with_folds(tiny_store_path, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train_here(run, report=stopping(at))
    done = [fold.path for fold in RunDirectory(run.directory).folds if fold.finished]
    again: list[Line] = []
    assert train_here(run, report=again.append).finished
    assert contents(run.directory) == contents(whole)
    assert not {int(path.name) + 1 for path in done} & {line.get("fold") for line in again}


def test_a_run_whose_folds_have_learnt_keeps_its_settings(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    run = with_folds(tiny_store_path, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train_here(run, report=stopping(lambda line: line["step"] == 3))
    with pytest.raises(ValueError, match="holds another run: seed was 1 and is now 2"):
        train_here(with_folds(tiny_store_path, tmp_path, seed=2))


def test_more_folds_than_can_validate_are_refused_before_anything_is_written(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    values = settings(tiny_store_path, tmp_path, validation={"folds": 9})
    with pytest.raises(ValueError, match=r"validation\.folds is 9 and the split has 4 doubles"):
        train_here(make_run(values, where="test"))
    assert not (tmp_path / "runs").exists()


def test_only_rounds_that_all_folds_had_choose_the_steps(tmp_path: Path) -> None:
    curves: list[dict[int, float | None]] = [
        {0: 4.0, 2: 3.0, 4: 2.0, 6: 0.0},
        {0: 4.0, 2: 1.0, 4: None},
    ]
    for number, curve in enumerate(curves):
        folder = tmp_path / "folds" / str(number)
        folder.mkdir(parents=True)
        lines = [{"step": k, "validation": {"mse": value}} for k, value in curve.items()]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
        (folder / "best.json").write_text(json.dumps({"step": 2, "metrics": {"mse": 1.0}}))
        split = Split(kind="list", seed=0, fold=0, train=("A",), validation=("B",), test=("C",))
        split.save(folder / "split.json")
    facts = found(RunDirectory(tmp_path), validation=ValidationConfig())
    assert facts.step == 2
    assert [(one.step, one.metrics["mse"]) for one in facts.rounds] == [
        (0, 4.0),
        (2, 2.0),
        (4, None),
    ]
    assert facts.guess  # such a split does not say what validates


def test_of_equal_rounds_the_folds_take_that_with_the_nearest_cells(tmp_path: Path) -> None:
    shapes = {0: 0.3, 2: 0.2, 4: 0.2, 6: 0.4}
    folder = tmp_path / "folds" / "0"
    folder.mkdir(parents=True)
    lines = [
        {"step": step, "validation": {"mse": 2.0}, "shape": shape} for step, shape in shapes.items()
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    (folder / "best.json").write_text(json.dumps({"step": 4, "metrics": {"mse": 2.0}}))
    split = Split(kind="list", seed=0, fold=0, train=("A",), validation=("B",), test=("C",))
    split.save(folder / "split.json")
    assert found(RunDirectory(tmp_path), validation=ValidationConfig()).step == 4


def test_a_fold_differs_from_its_run_in_place_split_and_folds_only(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    run = with_folds(tiny_store_path, tmp_path)
    first, second = (fold.run for fold in folds_of(run))
    assert first.directory == run.directory / "folds" / "0"
    own = {"name", "output", "split", "validation"}
    assert first.model_dump(exclude=own) == run.model_dump(exclude=own)
    assert second.validation == run.validation.model_copy(update={"folds": None})


def test_a_run_of_an_older_version_keeps_the_validation_part_that_it_drew(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "listed.yaml"
    listed.write_text(f"test: [{Split.load(_additive(tiny_store_path, tmp_path)).test[0]}]\n")
    values = settings(tiny_store_path, tmp_path, split={"kind": "file", "path": str(listed)})
    run = make_run(values, where="test")
    train_here(run, on_round=lambda outcome: outcome.step < 2)
    directory = RunDirectory(run.directory)
    begun = directory.manifest
    assert begun is not None
    directory.write_manifest(begun.model_copy(update={"plan": {}}))  # it had no hashes
    file = run.directory / "split.json"
    drawn = Split.load(file)
    older = {
        **drawn.model_dump(mode="json"),
        "train": sorted([*drawn.train, *drawn.validation[1:]]),
        "validation": drawn.validation[:1],
    }
    file.write_text(json.dumps({k: v for k, v in older.items() if k != "validation_source"}))
    assert train_here(run).finished
    assert Split.load(file).validation == drawn.validation[:1]
    file.write_text(json.dumps({**older, "validation_source": "measured"}))
    with pytest.raises(ValueError, match="with another split than"):
        train_here(run)


def _additive(store: Path, folder: Path) -> Path:
    with Store.open(store) as cells:
        run_split(SplitConfig(kind="additive"), cells).save(folder / "additive.json")
    return folder / "additive.json"


def test_where_nothing_validates_the_last_model_is_kept(
    whole: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    values = settings(
        tiny_store_path, tmp_path, split={"kind": "file", "path": str(tmp_path / "s.json")}
    )
    Split.load(whole / "split.json").save(tmp_path / "s.json")
    result = train_here(make_run(values, where="test"))
    assert (result.best_step, result.metrics) == (6, {})
