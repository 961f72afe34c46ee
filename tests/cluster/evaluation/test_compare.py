"""Runs compared by their evaluations."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cluster.runs.find_model import models_below
from cluster.work.compare import compare, evaluated
from cluster.work.evaluation.record import Evaluation
from scdfm.metrics.table import Score, Table


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


def test_one_run_has_no_spread(tmp_path: Path) -> None:
    found = compare([tmp_path], [evaluation({"scDFM": 0.1, "control": 0.2})])
    assert np.isnan(found.tables["scDFM"]["mse"].sd)
    assert found.differences["control"]["mse"].interval is None


def test_an_undefined_score_is_left_out_of_the_mean(tmp_path: Path) -> None:
    runs = [evaluation({"scDFM": 0.1}), evaluation({"scDFM": float("nan")}, fold=1)]
    score = compare([tmp_path, tmp_path], runs).tables["scDFM"]["mse"]
    assert (score.value, score.runs) == (0.1, 1)


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
    [again] = evaluated([run], metrics=["mae"])
    assert again == first
    kept = run / "evaluation" / "evaluation.json"
    # On fewer genes, as beside somebody's predictions of those, it is no score like the others.
    kept.write_text(again.model_copy(update={"genes": 5}).model_dump_json())
    assert evaluated([run], metrics=["mse"])[0].genes == first.genes
    kept.write_text(kept.read_text().replace(str(first.weights), "0" * 64))
    [new] = evaluated([run], metrics=["mae"])
    assert [*new.tables["scDFM"].overall] == ["mae"]


def test_the_models_of_a_sweeps_splits_are_found_in_their_order(tmp_path: Path) -> None:
    for name in ("best", "best-splits/2", "best-splits/10", "best-splits/1"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.json").touch()
    found = [path.name for path in models_below(tmp_path / "best-splits")]
    assert found == ["best", "1", "2", "10"]
    assert models_below(tmp_path) == []
