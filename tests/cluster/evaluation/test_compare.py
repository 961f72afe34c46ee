"""Runs compared by their evaluations."""

import io
import json
import logging
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from rich.console import Console

from cli.show.comparison import pages
from cli.show.terminal import as_json
from cluster.runs.find_model import models_below
from cluster.work.comparison.compare import compare
from cluster.work.comparison.evaluated import evaluated
from cluster.work.comparison.targets import distinct
from cluster.work.evaluate import evaluate
from cluster.work.evaluation.record import Difference, Evaluation, UnitFacts
from scdfm.metrics.table import Score, Table, tabulate


def evaluation(mse: dict[str, float], *, fold: int = 0) -> Evaluation:
    tables = {}
    for row, value in mse.items():
        scores = {"mse": Score(value=value, conditions=3, undefined=0)}
        tables[row] = Table(overall=scores, contexts={}, conditions={})
    return Evaluation(
        model="m",
        store="s",
        fingerprint="f",
        split={"kind": "additive", "seed": 42, "fold": fold, "context": None},
        tags={},
        genes=5,
        genes_of_all_cells=None,
        conditions=3,
        cells=9,
        tables=tables,
    )


def test_runs_with_a_row_each_are_not_said_to_be_averaged() -> None:
    def title(rows: list[str]) -> str:
        runs = [evaluation({"scDFM": 0.1}, fold=fold) for fold in range(2)]
        found = compare([Path("a"), Path("b")], runs)
        named = tuple(
            one.model_copy(update={"row": row}) for one, row in zip(found.runs, rows, strict=True)
        )
        out = io.StringIO()
        for part in pages(found.model_copy(update={"runs": named})):
            Console(file=out, width=120).print(part, markup=False)
        return out.getvalue().strip().splitlines()[0].strip()

    assert title(["scDFM (a)", "scDFM (b)"]) == "2 runs"
    assert title(["scDFM", "scDFM"]) == "mean (sd) over 2 runs"


def test_the_title_tells_how_the_means_of_each_row_are_made(tmp_path: Path) -> None:
    def titles(*means: str, apart: bool = False) -> list[str]:
        runs = [
            evaluation({"scDFM": 0.1}, fold=at).model_copy(update={"mean": mean})
            for at, mean in enumerate(means)
        ]
        for at, _ in enumerate(runs):
            (tmp_path / f"run-{at}").mkdir(exist_ok=True)
            text = "name: run\nstore: s\nsplit: {kind: additive}\nsource: other_control\n"
            threads = f"model: {{width: {64 * (at + 1)}}}\n" if apart else ""
            (tmp_path / f"run-{at}" / "run.yaml").write_text(text + threads)
        out = io.StringIO()
        for part in pages(compare([tmp_path / f"run-{at}" for at, _ in enumerate(runs)], runs)):
            Console(file=out, width=80).print(part, markup=False)
        return [line.strip() for line in out.getvalue().splitlines() if "flow" in line]

    base = "shrunken base + {} x flow, shape 0.25"
    assert titles(base.format(0.24), base.format(0.24)) == [f"scDFM: {base.format(0.24)}"]
    ranged = [f"scDFM: {base.format('0.031 to 0.4')}"]
    assert titles(*(base.format(one) for one in (0.4, 0.031, 0.2))) == ranged
    assert titles(base.format(0), "", apart=True) == [f"scDFM (run-0): {base.format(0)}"]
    assert titles("") == []


def test_folds_of_one_model_are_one_row_with_paired_differences(tmp_path: Path) -> None:
    folds = [
        evaluation({"scDFM": ours, "additive": theirs}, fold=fold)
        for fold, (ours, theirs) in enumerate([(0.1, 0.3), (0.2, 0.5), (0.3, 0.4)])
    ]
    found = compare([tmp_path / str(k) for k in range(3)], folds)
    assert list(found.tables) == ["scDFM", "additive"]
    score = found.tables["scDFM"]["mse"]
    assert (score.value, score.sd) == (pytest.approx(0.2), pytest.approx(0.1))
    apart = found.differences["additive"]["mse"]
    assert apart.value == pytest.approx(-0.2)
    assert (apart.wins, apart.runs) == (3, 3)
    assert apart.interval == (pytest.approx(-0.4484, abs=1e-4), pytest.approx(0.0484, abs=1e-4))
    assert apart.within_noise


def test_a_baseline_of_two_seeds_on_the_same_cells_is_one_score(tmp_path: Path) -> None:
    runs = [
        evaluation({"scDFM": ours, "additive": theirs}, fold=fold)
        for fold, ours, theirs in [(0, 0.1, 0.3), (0, 0.2, 0.3), (1, 0.3, 0.5)]
    ]
    found = compare([tmp_path / str(k) for k in range(3)], runs)
    assert found.tables["additive"]["mse"].values == (0.3, 0.5)
    assert found.tables["scDFM"]["mse"].values == (0.1, 0.2, 0.3)
    assert found.differences["additive"]["mse"].runs == 3


def test_lists_of_other_conditions_are_other_splits(tmp_path: Path) -> None:
    def of(condition: str, ours: float, theirs: float) -> Evaluation:
        unit = {"context": "K562", "condition": condition, "label": condition}
        units = [UnitFacts(**unit, cells=3, controls=3, generated=3)]
        return evaluation({"scDFM": ours, "additive": theirs}).model_copy(update={"units": units})

    runs = [of("A", 0.1, 0.3), of("B", 0.2, 0.5), of("B", 0.3, 0.5)]
    found = compare([tmp_path / str(k) for k in range(3)], runs)
    assert found.tables["additive"]["mse"].values == (0.3, 0.5)


def test_models_of_other_settings_are_rows_of_their_own_wherever_they_lie(tmp_path: Path) -> None:
    text = "name: run\nstore: s\nsplit: {kind: additive}\nsource: other_control\n"
    for name, more in (("a", ""), ("b", "loss: {mmd_weight: 2}\n"), ("c", "init_from: m\n")):
        for place in (f"{name}/model", f"sweep-{name}/best", f"{name}/same"):
            (tmp_path / place).mkdir(parents=True)
            (tmp_path / place / "model.json").touch()
        for file in (f"{name}/run.yaml", f"sweep-{name}/best.yaml", f"{name}/same/run.yaml"):
            (tmp_path / file).write_text(text + more)

    def rows(*names: str) -> list[str]:
        runs = [evaluation({"scDFM": 0.1}) for _ in names]
        return [one.row for one in compare([tmp_path / name for name in names], runs).runs]

    assert rows("a", "b") == ["scDFM (a)", "scDFM (b)"]
    assert rows("a", "c") == ["scDFM (a)", "scDFM (c)"]
    assert rows("a/model", "b/model") == ["scDFM (a/model)", "scDFM (b/model)"]
    assert rows("a/same", "b/same") == ["scDFM (a/same)", "scDFM (b/same)"]
    assert rows("sweep-a", "sweep-b") == ["scDFM (sweep-a)", "scDFM (sweep-b)"]
    assert rows("sweep-a/best", "sweep-b/best") == [
        "scDFM (sweep-a/best)",
        "scDFM (sweep-b/best)",
    ]
    assert rows("sweep-a", "a/model") == ["scDFM", "scDFM"]


def test_runs_on_other_cells_are_rows_of_their_own_and_so_are_their_baselines(
    tmp_path: Path,
) -> None:
    def of(store: str, fingerprint: str, ours: float, theirs: float) -> Evaluation:
        found = evaluation({"scDFM": ours, "additive": theirs})
        return found.model_copy(update={"store": store, "fingerprint": fingerprint})

    one, other = of("stores/a.zarr", "f", 0.1, 0.3), of("stores/b.zarr", "g", 0.5, 0.6)
    found = compare([tmp_path / "0", tmp_path / "1"], [one, other])
    assert {row: scores["mse"].values for row, scores in found.tables.items()} == {
        "scDFM (on a.zarr)": (0.1,),
        "additive (on a.zarr)": (0.3,),
        "scDFM (on b.zarr)": (0.5,),
        "additive (on b.zarr)": (0.6,),
    }
    assert found.differences.keys() == {"additive (on a.zarr)"}
    later = of("stores/a.zarr", "0123456789", 0.2, 0.3)  # its next version
    named = compare([tmp_path / "0", tmp_path / "1"], [one, later]).runs
    assert [run.row for run in named] == ["scDFM (on a.zarr f)", "scDFM (on a.zarr 01234567)"]
    copied = one.model_copy(update={"store": "elsewhere/a.zarr"})  # of the same cells
    assert {run.row for run in compare([tmp_path, tmp_path], [one, copied]).runs} == {"scDFM"}
    for name, width in (("x", 8), ("y", 16)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.yaml").write_text(
            f"name: r\nstore: s\nsplit: {{kind: additive}}\nmodel: {{width: {width}, heads: 2}}\n"
        )
    rows = [run.row for run in compare([tmp_path / "x", tmp_path / "y"], [one, other]).runs]
    assert rows == ["scDFM (x on a.zarr)", "scDFM (y on b.zarr)"]


def test_one_run_has_no_spread(tmp_path: Path) -> None:
    found = compare([tmp_path], [evaluation({"scDFM": 0.1, "control": 0.2})])
    assert np.isnan(found.tables["scDFM"]["mse"].sd)
    assert found.differences["control"]["mse"].interval is None


def test_an_undefined_score_is_left_out_of_the_mean(tmp_path: Path) -> None:
    runs = [evaluation({"scDFM": 0.1}), evaluation({"scDFM": float("nan")}, fold=1)]
    score = compare([tmp_path, tmp_path], runs).tables["scDFM"]["mse"]
    assert (score.value, score.runs) == (0.1, 1)


class Named(NamedTuple):
    """Units by name."""

    contexts: tuple[str, ...]
    conditions: tuple[str, ...]


def with_correlations(rows: dict[str, list[float]]) -> Evaluation:
    """An evaluation of conditions A, B, ... in one context; NaN where undefined."""
    names = tuple("ABCDE")
    part = Named(("K562",) * len(names), names)
    tables = {row: tabulate({"pearson_delta": np.array(one)}, part) for row, one in rows.items()}
    return evaluation(dict.fromkeys(rows, 0.1)).model_copy(update={"tables": tables})


def test_rows_with_undefined_units_are_compared_on_the_same_conditions(tmp_path: Path) -> None:
    nan = float("nan")
    # Where the baseline says something the model is better; the mean of the others hides it.
    rows = {"scDFM": [0.1, 0.2, 0.1, 0.9, 0.8], "additive": [nan, nan, nan, 0.7, 0.7]}
    one = with_correlations(rows)
    other = with_correlations({"scDFM": rows["additive"], "additive": rows["additive"]})
    alone = compare([tmp_path], [one])
    apart = alone.differences["additive"]["pearson_delta"]
    assert (apart.value, apart.wins, apart.runs) == (pytest.approx(0.15), 1, 1)
    out = io.StringIO()
    for line in pages(alone):
        Console(file=out, width=80).print(line, markup=False)
    assert "pearson_delta is undefined in units: 3 of additive" in out.getvalue()
    # What the evaluation itself says of them goes before, as it knows the units.
    said = Difference(value=0.25, wins=2, losses=0, conditions=2, within_noise=False)
    told = one.model_copy(update={"differences": {"additive": {"pearson_delta": said}}})
    assert compare([tmp_path], [told]).differences["additive"]["pearson_delta"].value == 0.25
    # Two models are paired in the same way.
    for name, source in (("a", "control"), ("b", "noise")):
        (tmp_path / name).mkdir()
        text = f"name: {name}\nstore: s\nsplit: {{kind: additive}}\nsource: {source}\n"
        (tmp_path / name / "run.yaml").write_text(text)
    two = compare([tmp_path / "a", tmp_path / "b"], [one, other])
    assert two.differences["scDFM (b)"]["pearson_delta"].value == pytest.approx(0.15)


def test_evaluations_without_a_common_metric_are_refused(tmp_path: Path) -> None:
    other = evaluation({"scDFM": 0.1})
    table = Table(overall={}, contexts={}, conditions={})
    empty = other.model_copy(update={"tables": {"scDFM": table}})
    with pytest.raises(ValueError, match="share no metric"):
        compare([tmp_path, tmp_path], [other, empty])


@pytest.mark.slow
def test_a_kept_evaluation_is_used_until_the_weights_change(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(run / "evaluation", ignore_errors=True)
    [first] = evaluated([run], metrics=["mse"])
    [again] = evaluated([run])
    assert as_json(again) == as_json(first)
    kept = run / "evaluation" / "evaluation.json"
    # On fewer genes, as beside somebody's predictions of those, it is no score like the others.
    kept.write_text(again.model_copy(update={"genes": 5}).model_dump_json())
    assert evaluated([run], metrics=["mse"])[0].genes == first.genes
    # Nor on other conditions, though both splits are called a list.
    assert again.asked is not None
    units = tuple(one.model_copy(update={"condition": "other"}) for one in again.units)
    asked = again.asked.model_copy(update={"split": "other"})
    other = again.model_copy(update={"units": units, "asked": asked})
    kept.write_text(other.model_dump_json())
    assert evaluated([run], metrics=["mse"])[0].units == first.units
    newer = json.loads(as_json(again))
    kept.write_text(json.dumps(newer | {"split": newer["split"] | {"drawn": "by plate"}}))
    assert evaluated([run])[0].split.plain()["drawn"] == "by plate"
    kept.write_text(kept.read_text().replace(str(first.weights), "0" * 64))
    [new] = evaluated([run], metrics=["mae"])
    assert [*new.tables["scDFM"].overall] == ["mae"]


@pytest.mark.slow
def test_a_metric_that_was_not_evaluated_is_added_on_the_same_cells(
    trained: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(run / "evaluation", ignore_errors=True)
    before = evaluate(run, metrics=["mse"], cells=5, seed=3)
    [now] = evaluated([run], metrics=["mae"])
    assert (now.cells, now.seeds) == (before.cells, (3,))
    assert [*now.tables["scDFM"].overall] == ["mse", "mae"]
    ours, was = (one.tables["scDFM"].overall["mse"].value for one in (now, before))
    assert ours == was


@pytest.mark.slow
def test_evaluations_of_other_code_or_other_cells_are_not_averaged(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs = [shutil.copytree(trained, tmp_path / name) for name in ("a", "b")]
    for run, cells in zip(runs, (5, 6), strict=True):
        shutil.rmtree(run / "evaluation", ignore_errors=True)
        evaluate(run, metrics=["mse"], cells=cells)
    caplog.set_level(logging.INFO)
    usual = evaluated(runs)
    assert {one.asked.cells for one in usual if one.asked is not None} == {None}
    assert "again: its scores are of another number of cells" in caplog.text
    caplog.clear()
    assert as_json(evaluated(runs)) == as_json(usual)
    assert caplog.text == ""
    records = [run / "evaluation" / "evaluation.json" for run in runs]
    older = {"code": "0" * 64}
    records[0].write_text(usual[0].model_copy(update=older).model_dump_json())
    assert len({one.code for one in evaluated(runs)}) == 1
    assert "again: its scores are of another version" in caplog.text
    caplog.clear()
    for record in records:
        record.write_text(usual[0].model_copy(update=older).model_dump_json())
    # All of one older version are alike.
    assert {one.code for one in evaluated(runs)} == {"0" * 64}
    assert "all were evaluated by one other version" in caplog.text
    # But not beside a new one of a further metric.
    assert {one.code for one in evaluated(runs, metrics=["mae"])} == {usual[0].code}


@pytest.mark.slow
def test_what_was_evaluated_on_a_gpu_is_kept_where_there_is_none(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run = shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(run / "evaluation", ignore_errors=True)
    here = evaluate(run, metrics=["mse"], cells=5)
    assert here.asked is not None
    there = here.model_copy(update={"asked": here.asked.model_copy(update={"device": "cuda"})})
    file = run / "evaluation" / "evaluation.json"
    file.write_text(there.model_dump_json())
    before = file.read_bytes()
    [now] = evaluated([run], metrics=["mae"])
    assert [*now.tables["scDFM"].overall] == ["mse", "mae"]
    assert file.read_bytes() == before


def test_the_models_of_a_sweeps_splits_are_found_in_their_order(tmp_path: Path) -> None:
    for name in ("best", "best-splits/2", "best-splits/10", "best-splits/1"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.json").touch()
    found = [path.name for path in models_below(tmp_path / "best-splits")]
    assert found == ["best", "1", "2", "10"]
    assert models_below(tmp_path) == []


def test_a_model_that_is_named_twice_is_compared_once_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="cluster")
    for name in ("one/model", "two/model"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.json").touch()
    one, two = tmp_path / "one", tmp_path / "two"
    spelled = [one, two, one / "model", tmp_path / "two" / ".." / "one", two]
    assert distinct(spelled) == [one, two]
    assert caplog.messages == [
        f"{one / 'model'} is the model of {one}: it is compared once",
        f"{spelled[3]} is the model of {one}: it is compared once",
        f"{two} was named before: it is compared once",
    ]
