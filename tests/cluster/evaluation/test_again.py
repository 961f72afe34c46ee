"""An evaluation is not computed twice, and what is kept is not replaced by less."""

import logging
import shutil
from pathlib import Path

import pytest

from cli.show.terminal import as_json
from cluster.runs.find_model import BEST_TRIAL, CHOICE, SWEEP
from cluster.work.evaluate import evaluate
from cluster.work.evaluation.kept import kept_beside, kept_of
from cluster.work.evaluation.record import Evaluation
from scdfm.screen.atomic import write_json

pytestmark = pytest.mark.slow

CELLS = 5


@pytest.fixture(scope="module")
def run(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was evaluated by two metrics, with the untrained row."""
    copy = shutil.copytree(trained, tmp_path_factory.mktemp("again") / "run")
    shutil.rmtree(copy / "evaluation", ignore_errors=True)
    evaluate(copy, metrics=["mse", "mae"], cells=CELLS, untrained=True)
    return copy


def kept(run: Path) -> Evaluation:
    record = kept_beside(run / "model").record
    assert record is not None
    return record


def test_a_part_of_what_is_kept_is_read_and_leaves_it_whole(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = kept(run)
    with caplog.at_level(logging.INFO):
        part = evaluate(run, metrics=["mae"], cells=CELLS)
    assert "--again evaluates it anew" in caplog.text
    assert part.date == before.date
    assert "untrained" not in part.tables
    assert [*part.tables["scDFM"].overall] == ["mae"]
    assert [*part.differences["control"]] == ["mae"]
    assert part.tables["scDFM"].overall["mae"] == before.tables["scDFM"].overall["mae"]
    assert kept(run) == before


def test_further_metrics_are_added_to_what_is_kept_and_others_do_not_change(run: Path) -> None:
    before = kept(run)
    part = evaluate(run, metrics=["l2"], cells=CELLS)
    assert [*part.tables["scDFM"].overall] == ["l2"]
    now = kept(run)
    assert set(now.tables["untrained"].overall) == {"mse", "mae", "l2"}
    for row, table in before.tables.items():
        for name, score in table.overall.items():
            assert now.tables[row].overall[name].value == score.value, (row, name)


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        ({"seed": 1}, "the seed 0"),
        ({"cells": CELLS + 1}, f"{CELLS} cells for each unit"),
        ({"precision": "float32"}, "the number format auto"),
    ],
)
def test_other_cells_are_another_evaluation(
    run: Path,
    tmp_path: Path,
    asked: dict[str, object],
    held: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    with caplog.at_level(logging.INFO):
        evaluate(copy, metrics=["mse"], **{"cells": CELLS, **asked})
    assert f"held an evaluation of {held}: it goes" in caplog.text
    assert set(kept(copy).tables["scDFM"].overall) == {"mse"}


def write(copy: Path, **change: object) -> None:
    """Change what is kept, as another machine or version would have written it."""
    record = kept(copy).model_copy(update=change)
    (copy / "evaluation" / "evaluation.json").write_text(record.model_dump_json())


def test_what_other_code_computed_is_computed_again(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    for other in ({"code": "0" * 64}, {"code": None}, {"versions": {"scdfm": "0"}}):
        write(copy, **other, date=None)
        with caplog.at_level(logging.INFO):
            evaluate(copy, metrics=["mse"], cells=CELLS)
        assert "--again" not in caplog.text
        assert kept(copy).date is not None
        assert kept(copy).code == kept(run).code


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"asked": None}, "held an evaluation by an older version of scDFM: it goes"),
        ({"genes": 1_000}, "held an evaluation on 1,000 genes: it goes"),
    ],
)
def test_what_goes_is_named(
    run: Path,
    tmp_path: Path,
    change: dict[str, object],
    line: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    write(copy, **change)
    with caplog.at_level(logging.INFO):
        evaluate(copy, metrics=["mse"], cells=CELLS)
    assert line in caplog.text


def test_what_is_kept_with_a_trial_of_a_sweep_does_not_go(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / SWEEP).touch()
    shutil.copytree(run, tmp_path / "trials" / "a" / "split-0")
    best = shutil.copytree(run / "model", tmp_path / BEST_TRIAL)
    with caplog.at_level(logging.INFO):
        evaluate(best, metrics=["mse"], cells=CELLS, seed=1)
    assert "it goes" not in caplog.text
    assert kept_beside(best).record is not None


def test_the_best_of_a_sweep_is_not_judged_by_another_trial_of_the_same_weights(
    run: Path, tmp_path: Path
) -> None:
    (tmp_path / SWEEP).touch()
    own = tmp_path / "trials" / "b" / "split-0"
    for trial in (own, tmp_path / "trials" / "a" / "split-0"):  # that samples in other steps
        shutil.copytree(run, trial)
    best = shutil.copytree(run / "model", tmp_path / BEST_TRIAL)
    write_json(tmp_path / CHOICE, {"trial": 2, "choice": "trial 2 is the best", "key": "b"})
    assert kept_of(best).path == own / "evaluation"
    shutil.rmtree(own / "evaluation")
    assert kept_of(best) == kept_beside(best)


def test_an_evaluation_on_a_gpu_is_not_said_to_be_of_other_cells(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    asked = kept(run).asked
    assert asked is not None
    write(copy, asked=asked.model_copy(update={"device": "cuda"}))
    with caplog.at_level(logging.INFO):
        evaluate(copy, metrics=["mse"], cells=CELLS)
    assert "held an evaluation of a GPU: it goes" in caplog.text


def test_again_computes_the_same_once_more(run: Path) -> None:
    write(run, date=None)
    before = kept(run)
    evaluate(run, metrics=["mse"], cells=CELLS, again=True)
    assert kept(run).date is not None
    assert kept(run).asked == before.asked
    assert as_json(kept(run).tables) == as_json(before.tables)
