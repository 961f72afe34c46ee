"""Finished trials that all score the same: it is said, and why, and what would tell them apart."""

from pathlib import Path

import pytest

from cli.show.sweep.state import lines_of
from cluster.runs.directory import RunDirectory
from cluster.runs.records import Line
from sweeps.directory import SweepDirectory
from sweeps.report import search_section
from sweeps.results import leaderboard
from sweeps.watching.now import now
from sweeps.winners.alike import alike
from tests.sweeps.begun import begun_sweep


@pytest.fixture
def directory(tiny_store_path: Path, tmp_path: Path) -> SweepDirectory:
    return begun_sweep(tiny_store_path, output=tmp_path)


def finish(directory: SweepDirectory, k: int, value: float, *, weight: float) -> None:
    """Write a trial of one split that has finished, and what its best round says of the flow."""
    key, tried = f"k{k}", {"graph.k": k}
    ledger = directory.ledger
    ledger.write({"event": "start", "trial": key, "configuration": tried, "baseline": k == 3})
    ledger.write({"event": "split", "trial": key, "split": 0, "value": value})
    ledger.write({"event": "complete", "trial": key, "seconds": 60.0})
    run = RunDirectory(directory.trial(key) / "split-0")
    run.path.mkdir(parents=True)
    for step, best, own in ((0, True, 0.5), (2, True, weight), (4, False, 0.5)):
        line: Line = {"step": step, "validation": {"mse": value}, "best": best}
        line["flow"] = {"weight": own, "alone": {}, "both": [], "square": []}
        run.journal.write(line)


def test_equal_scores_are_said_with_the_flow_s_weight_and_a_remedy(
    directory: SweepDirectory,
) -> None:
    finish(directory, 3, 0.00123, weight=0.0)
    assert now(directory).alike is None
    finish(directory, 4, 0.00123 * (1 + 1e-8), weight=0.0)
    said = now(directory).alike
    assert said is not None
    assert said.startswith(
        "2 finished trials score the same by mse: the weight of the flow is 0 in"
    )
    assert said.endswith(
        "tune with --new and --set objective.metric=mmd2 (cells, not means), or --set "
        "base.sampling.mean=none (the flow alone)"
    )
    assert lines_of(now(directory), name="small")["scores"] == said
    assert said in search_section(directory).blocks[0].text  # type: ignore[union-attr]


def test_equal_scores_with_a_flow_that_counts_name_no_weight(directory: SweepDirectory) -> None:
    finish(directory, 3, 0.5, weight=0.0)
    finish(directory, 4, 0.5, weight=0.1)
    told = "2 finished trials score the same by mse: the settings that were tried do not change it"
    assert now(directory).alike == told


def test_equal_scores_of_cells_are_not_laid_to_the_base(directory: SweepDirectory) -> None:
    finish(directory, 3, 0.5, weight=0.0)
    finish(directory, 4, 0.5, weight=0.0)
    locked = directory.lock.read()
    assert locked is not None
    rows = leaderboard(locked.as_sweep(directory.path, confirm=None), directory.ledger.trials())
    told = alike(directory, rows, metric="mmd2")
    assert told is not None
    assert told.endswith("score the same by mmd2: the settings that were tried do not change it")


def test_scores_that_differ_are_not_called_the_same(directory: SweepDirectory) -> None:
    finish(directory, 3, 0.5, weight=0.0)
    finish(directory, 4, 0.50001, weight=0.0)
    assert now(directory).alike is None
    assert "scores" not in lines_of(now(directory), name="small")
