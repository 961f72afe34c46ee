"""A trial whose splits train side by side costs, and keeps, what all of them do."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.runs.directory import RunDirectory
from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.events import OnEvent, SweepEvent
from sweeps.trials.stopping import Trials
from sweeps.watch import Watch


@pytest.fixture
def sweep(tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepConfig:
    monkeypatch.chdir(tmp_path)
    return SweepConfig.model_validate(tiny | {"resources": {"cpu": 1, "parallel_splits": 2}})


def at_work(
    sweep: SweepConfig, report: OnEvent = lambda event: None
) -> tuple[Watch, list[RunDirectory]]:
    """A session in which one trial runs, and the runs of its two splits."""
    directory = SweepDirectory(sweep.directory)
    directory.path.mkdir(parents=True)
    watch = Watch(sweep, ledger=directory.ledger, report=report)
    asked = SimpleNamespace(trial_id="t", config=sweep.baseline)
    watch.on_trial_start(0, [asked], asked)
    folder = directory.trial(watch.running[0])
    runs = [RunDirectory(folder / f"split-{split}") for split in (0, 1)]
    for run in runs:
        run.path.mkdir(parents=True)
    return watch, runs


def test_device_hours_count_splits_side_by_side_while_they_train(sweep: SweepConfig) -> None:
    watch, runs = at_work(sweep)
    assert watch.device_hours < 0.1
    watch._beside.clear()  # as some seconds later
    for run in runs:
        clock = run.times.begin(0, lines=0)
        clock.write({"session": clock.session, "step": 9, "seconds": 3600.0})
    assert watch.device_hours == pytest.approx(2, abs=0.01)


def test_a_trial_that_is_tried_again_says_which_step_it_goes_on_from(sweep: SweepConfig) -> None:
    events: list[SweepEvent] = []
    watch, (first, second) = at_work(sweep, report=events.append)
    files = {"error_file": None, "pickled_error_file": None}
    asked = SimpleNamespace(trial_id="t", config=sweep.baseline, **files)
    watch.on_trial_recover(0, [asked], asked)
    for run, steps in ((first, (2, 4)), (second, (2,))):
        for step in steps:
            (run.states.path / f"step-{step:08d}").mkdir(parents=True)
    watch.on_trial_recover(0, [asked], asked)
    done = {"value": 0.5, "rung": 2, "split": 0, "step": 4, "score": 0.5}
    watch.on_trial_result(0, [asked], asked, done)  # type: ignore[arg-type]
    watch.on_trial_recover(0, [asked], asked)
    found = [(one.split, one.step) for one in events if one.kind == "retry"]
    assert found == [(0, None), (0, 4), (1, 2)]


def test_the_last_step_is_kept_once_each_split_at_work_has_kept_its_own(
    sweep: SweepConfig,
) -> None:
    watch, (first, second) = at_work(sweep)
    trials = Trials(SweepDirectory(sweep.directory), watch)
    with first.held(), second.held():
        trials.ask()
        assert trials.kept is None
        first.stop.answer(3)
        assert trials.kept is None
        second.stop.answer(5)
        assert trials.kept == "last step of 1 trial kept"
    with first.held():  # the other one is not at work: nobody waits for it
        trials.ask()
        assert trials.kept is None
        first.stop.answer(4)
        assert trials.kept == "last step of 1 trial kept"
