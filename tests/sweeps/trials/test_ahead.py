"""Splits of a trial side by side change its time, and nothing that it reports."""

import time
from typing import Any

import pytest
import ray

from cluster.runs.directory import RunDirectory
from sweeps import SweepConfig
from sweeps.objective import _fingerprint, run_trial
from sweeps.pairs.finished import FinishedPairs
from sweeps.room import concurrent
from sweeps.space import split_run
from sweeps.trials.ahead import Ahead

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.timeout(400),
    pytest.mark.usefixtures("ray_session"),
]
PATIENCE = 120.0  # seconds


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny split is over before an actor would be thought of."""
    monkeypatch.setattr("sweeps.trials.ahead._LOOK", 0.05)
    monkeypatch.setattr("sweeps.trials.ahead._PLACED", 10_000)


def side_by_side(sweep: SweepConfig, splits: int | str) -> SweepConfig:
    resources = sweep.resources.model_copy(update={"parallel_splits": splits})
    return sweep.model_copy(update={"resources": resources, "reuse": False})


def test_a_trial_reports_the_same_whether_or_not_its_splits_train_side_by_side(
    tiny_sweep: SweepConfig,
) -> None:
    alone: list[Any] = []
    sweep = side_by_side(tiny_sweep, 2)
    run_trial(sweep.baseline, sweep=sweep, report=alone.append)

    ahead = sweep.model_copy(update={"name": "ahead"})
    second = RunDirectory(split_run(ahead, ahead.baseline, split=1).directory)
    finished_before: list[bool] = []
    told: list[Any] = []

    def report(line: Any) -> None:
        """Stay in the first split until the second one is trained."""
        deadline = time.monotonic() + PATIENCE
        while not second.finished and time.monotonic() < deadline:
            time.sleep(0.05)
        finished_before.append(second.finished)
        told.append(line)

    run_trial(ahead.baseline, sweep=ahead, report=report, in_turn=False)
    assert finished_before[0]
    assert told == alone
    assert [line["split"] for line in told] == sorted(line["split"] for line in told)


def test_what_a_pruned_trial_has_begun_ahead_is_ended(tiny_sweep: SweepConfig) -> None:
    sweep = side_by_side(tiny_sweep, "auto")
    pairs = FinishedPairs(sweep, fingerprint="any")
    actors: list[Any] = []

    def pruned() -> None:
        with Ahead(sweep.baseline, key="one", pairs=pairs, most=2) as ahead:
            deadline = time.monotonic() + PATIENCE
            while not ahead._started and time.monotonic() < deadline:
                time.sleep(0.05)
            actors.append(ahead._started[1].actor)
            raise SystemExit  # as Ray Tune ends the thread of a trial

    with pytest.raises(SystemExit):
        pruned()
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actors[0].ready.remote(), timeout=PATIENCE)


def test_a_split_that_is_done_gives_its_room_back_before_the_trial_comes_to_it(
    tiny_sweep: SweepConfig,
) -> None:
    sweep = side_by_side(tiny_sweep, 2)
    pairs = FinishedPairs(sweep, fingerprint=_fingerprint(sweep))
    actors: list[Any] = []
    with Ahead(sweep.baseline, key="one", pairs=pairs, most=2) as ahead:
        deadline = time.monotonic() + PATIENCE
        while not (actors and not ahead._started) and time.monotonic() < deadline:
            actors += [one.actor for one in list(ahead._started.values())]
            time.sleep(0.01)
        with pytest.raises(ray.exceptions.RayActorError):
            ray.get(actors[0].ready.remote(), timeout=PATIENCE)
        time.sleep(0.5)  # some looks
        assert not ahead._started
        assert ahead.finish(1, meanwhile=lambda: None) is None
    assert RunDirectory(ahead._splits[1].run(sweep).directory).finished


@pytest.mark.parametrize(("splits", "trials"), [(1, 2), (2, 1), (5, 1), ("auto", 2)])
def test_as_many_trials_run_at_once_as_leave_room_for_promised_splits(
    tiny_sweep: SweepConfig, splits: int | str, trials: int
) -> None:
    assert concurrent(side_by_side(tiny_sweep, splits)) == trials
