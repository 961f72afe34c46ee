"""A trial without Ray: what it reports, and that it repeats nothing."""

from typing import Any

import pytest

from cluster.runs.directory import RunDirectory
from sweeps import SweepConfig
from sweeps.objective import run_trial
from sweeps.space import split_run

pytestmark = pytest.mark.slow


def reports(sweep: SweepConfig) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    run_trial(sweep.baseline, sweep=sweep, report=lines.append)
    return lines


def test_a_trial_reports_the_mean_so_far_at_rising_rungs(tiny_sweep: SweepConfig) -> None:
    lines = reports(tiny_sweep)
    rounds = [line for line in lines if "score" not in line]
    assert [line["rung"] for line in rounds] == [1, 2, 3, 4]
    assert [line["split"] for line in rounds] == [0, 0, 1, 1]
    first, second = (line for line in lines if "score" in line)
    assert first["value"] == first["score"]
    assert second["value"] == pytest.approx((first["score"] + second["score"]) / 2)
    assert [line["complete"] for line in lines] == [False] * (len(lines) - 1) + [True]


def test_a_trial_that_is_finished_reports_the_same_again_without_training(
    tiny_sweep: SweepConfig,
) -> None:
    first = reports(tiny_sweep)
    journal = split_run(tiny_sweep, tiny_sweep.baseline, split=1).directory / "metrics.jsonl"
    written = journal.stat().st_mtime_ns
    assert reports(tiny_sweep) == first
    assert journal.stat().st_mtime_ns == written


def test_a_trial_stopped_in_the_middle_goes_on_with_the_same_rungs_and_values(
    tiny_sweep: SweepConfig, tiny: dict[str, Any]
) -> None:
    class StoppedError(Exception):
        pass

    def stop(line: dict[str, Any]) -> None:
        if line["rung"] == 3:
            raise StoppedError

    calm = tiny_sweep.model_copy(update={"name": "calm", "reuse": False})
    with pytest.raises(StoppedError):
        run_trial(tiny_sweep.baseline, sweep=tiny_sweep, report=stop)
    assert reports(tiny_sweep) == reports(calm)


def test_a_trial_with_folds_has_the_mean_score_of_its_folds(tiny_sweep: SweepConfig) -> None:
    own = {"steps": 2, "validate_every": 1}, {"cells": 4, "units": 2, "steps": 1, "folds": 2}
    base = {**tiny_sweep.base, "training": own[0], "validation": own[1]}
    sweep = tiny_sweep.model_copy(update={"base": base, "splits": tiny_sweep.splits[:1]})
    last = reports(sweep)[-1]
    folds = RunDirectory(split_run(sweep, sweep.baseline, split=0).directory).folds
    curves = [
        [line["validation"]["mse"] for line in fold.journal.lines() if "validation" in line]
        for fold in folds
    ]
    means = [sum(scores) / 2 for scores in zip(*curves, strict=True)]
    assert last["complete"]
    assert last["score"] == min(means)
