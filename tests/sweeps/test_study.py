"""Whole sweeps on tiny cells, through Ray Tune."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from sweeps import SweepConfig, SweepFailedError, tune
from sweeps.events import SweepEvent
from sweeps.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(600)]


def one_by_one(sweep: SweepConfig, **changes: Any) -> SweepConfig:
    """The sweep with one trial at a time, which makes its order repeatable."""
    budget = sweep.budget.model_copy(update={"concurrent": 1})
    return sweep.model_copy(update={"budget": budget, **changes})


def scores(sweep: SweepConfig) -> list[tuple[Any, ...]]:
    rows = tune(sweep).leaderboard
    return [(row.rank, row.trial, row.state, row.value, row.configuration) for row in rows]


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("budget", "resources", "said"),
    [
        (
            {"concurrent": 3},
            {},
            r"3 trials of 1 CPU, .* 2; lower budget.concurrent or resources.cpu",
        ),
        ({}, {"cpu": 3}, r"1 trial of 3 CPUs, .* room for 0; lower resources.cpu \("),
        ({}, {"gpu": 0.5}, r"1 CPU and 0.5 GPUs, .* lower resources.cpu or resources.gpu"),
    ],
    ids=["trials", "cores", "GPUs"],
)
def test_a_sweep_that_the_cluster_has_no_room_for_names_its_settings(
    tiny_sweep: SweepConfig, budget: dict[str, Any], resources: dict[str, Any], said: str
) -> None:
    sweep = tiny_sweep.model_copy(
        update={
            "budget": tiny_sweep.budget.model_copy(update=budget),
            "resources": tiny_sweep.resources.model_copy(update=resources),
        }
    )
    with pytest.raises(ValueError, match=said):
        tune(sweep)
    assert not sweep.directory.exists()


@pytest.mark.usefixtures("ray_session")
def test_a_sweep_finds_a_model_and_a_second_run_of_it_does_nothing_more(
    tiny_sweep: SweepConfig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="sweeps")
    told: list[SweepEvent] = []
    result = tune(tiny_sweep, report=told.append)
    assert "--extend" not in caplog.text
    assert len(result.leaderboard) == 3
    assert result.leaderboard[0].rank == 1
    assert sum(row.baseline for row in result.leaderboard) == 1
    assert {path.name for path in result.best_model.iterdir()} >= {
        "model.safetensors",
        "model.json",
        "graph.npz",
        "split.json",
    }
    assert (result.directory / "best-splits" / "1" / "model.safetensors").is_file()
    assert not (result.directory / "tune").exists()
    assert told[-1].over == 3

    ledger = (result.directory / "ledger.jsonl").read_text()
    (result.directory / "stalls").mkdir(exist_ok=True)
    (result.directory / "stalls" / "a-trial-1.txt").write_text("a trial, 60 s, thread 0x1\n")
    again = tune(tiny_sweep, report=told.append)
    assert not (result.directory / "stalls").exists()  # it was killed, and had not stalled
    assert "all 3 trials of the budget ended before; --extend N adds some" in caplog.text
    assert again.leaderboard == result.leaderboard
    assert (result.directory / "ledger.jsonl").read_text() == ledger

    storage = f"sqlite:///{result.directory / 'study.db'}"
    study = optuna.load_study(study_name="tiny", storage=storage)
    states = {row.configuration["loss.mmd_weight"]: row.state for row in result.leaderboard}
    known = [trial for trial in study.get_trials() if trial.params]
    assert [trial.number for trial in known] == sorted(row.trial for row in result.leaderboard)
    for trial in known:
        pruned = trial.state == optuna.trial.TrialState.PRUNED
        assert pruned == (states[trial.params["loss.mmd_weight"]] == "pruned")
        assert trial.intermediate_values


@pytest.mark.usefixtures("ray_session")
def test_what_watches_a_sweep_may_hold_what_cannot_be_pickled(tiny_sweep: SweepConfig) -> None:
    lock = threading.RLock()  # a live progress bar holds one

    def report(event: SweepEvent) -> None:
        with lock:
            told.append(event.kind)

    told: list[str] = []
    budget = tiny_sweep.budget.model_copy(update={"trials": 1})
    result = tune(tiny_sweep.model_copy(update={"budget": budget}), report=report)
    assert result.leaderboard[0].state == "complete"
    assert told[0] == "start"
    assert told[-1] == "complete"


@pytest.mark.usefixtures("ray_session")
def test_what_another_sweep_has_trained_is_copied_and_said(tiny_sweep: SweepConfig) -> None:
    one = one_by_one(tiny_sweep)
    one = one.model_copy(update={"budget": one.budget.model_copy(update={"trials": 1})})
    told: list[SweepEvent] = []
    first = tune(one, report=told.append).leaderboard[0]
    assert not any(event.taken for event in told)
    again = tune(one.model_copy(update={"name": "again"}), report=told.append)
    places = [event.taken for event in told if event.kind == "split"][-2:]
    assert places == [str(first.directory / f"split-{split}") for split in (0, 1)]
    assert again.leaderboard[0].splits == first.splits
    events = Ledger(again.directory).events()
    assert [line["taken"] for line in events if line["event"] == "split"] == places


@pytest.mark.usefixtures("ray_session")
def test_a_sweep_that_moved_with_its_store_repeats_nothing_and_goes_on(
    tiny_sweep: SweepConfig, tiny_store_path: Path, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(tiny_store_path, tmp_path / "a.zarr"))
    here = one_by_one(tiny_sweep, base=tiny_sweep.base | {"store": "a.zarr"})
    here = here.model_copy(update={"budget": here.budget.model_copy(update={"trials": 1})})
    first = tune(here)
    moved = store.rename(tmp_path / "b.zarr")
    shutil.move(here.directory, tmp_path / "elsewhere" / "renamed")
    there = here.model_copy(
        update={
            "name": "renamed",
            "output": tmp_path / "elsewhere",
            "base": here.base | {"store": str(moved)},
        }
    )
    ledger = (there.directory / "ledger.jsonl").read_text()
    assert tune(there).leaderboard[0].value == first.leaderboard[0].value
    assert (there.directory / "ledger.jsonl").read_text() == ledger
    more = there.model_copy(update={"budget": there.budget.model_copy(update={"trials": 2})})
    rows = sorted(tune(more).leaderboard, key=lambda row: row.trial)
    assert [row.trial for row in rows] == [1, 2]
    assert rows[0].value == first.leaderboard[0].value
    assert [path.name for path in tmp_path.glob("**/study.db")] == ["study.db"]
    studies = optuna.get_all_study_summaries(f"sqlite:///{there.directory / 'study.db'}")
    assert [one.study_name for one in studies] == ["tiny"]


def test_a_store_that_is_gone_is_answered_with_the_setting_that_names_it(
    tiny_sweep: SweepConfig,
) -> None:
    gone = tiny_sweep.model_copy(update={"base": tiny_sweep.base | {"store": "gone.zarr"}})
    with pytest.raises(FileNotFoundError, match=r"--set base\.store=PATH") as caught:
        tune(gone)
    assert "\n" not in str(caught.value)
    assert not gone.directory.exists()


@pytest.mark.usefixtures("ray_session")
def test_a_larger_budget_continues_and_a_small_space_is_searched_once(
    tiny_sweep: SweepConfig,
) -> None:
    space = {"model.width": tiny_sweep.space["model.width"]}
    small = one_by_one(tiny_sweep, space=space)
    less = small.model_copy(update={"budget": small.budget.model_copy(update={"trials": 1})})
    assert len(tune(less).leaderboard) == 1
    rows = tune(small).leaderboard
    assert sorted(row.configuration["model.width"] for row in rows) == [8, 16]


@pytest.mark.usefixtures("ray_session")
def test_more_trials_at_once_than_fit_are_refused(tiny_sweep: SweepConfig) -> None:
    resources = tiny_sweep.resources.model_copy(update={"cpu": 1000})
    with pytest.raises(ValueError, match="room for 1 trial of 1000 CPUs"):
        tune(tiny_sweep.model_copy(update={"resources": resources}))


@pytest.mark.usefixtures("ray_session")
def test_too_many_failures_stop_the_sweep_and_say_why(
    tiny: dict[str, Any], tiny_sweep: SweepConfig
) -> None:
    space = {"training.learning_rate": {"type": "choice", "values": [1e36, 1e37]}}
    sweep = one_by_one(
        SweepConfig.model_validate(
            tiny
            | {
                "base": tiny_sweep.base,
                "space": space,
                "failure": {"retries": 0},
                "search": {"baseline_first": False},
            }
        )
    )
    with pytest.raises(SweepFailedError, match=r"FloatingPointError: .*learning_rate"):
        tune(sweep)
    assert "failed" in (sweep.directory / "leaderboard.csv").read_text()


def test_an_empty_split_is_found_before_ray_starts(tiny_sweep: SweepConfig) -> None:
    split = tiny_sweep.splits[0].model_copy(update={"kind": "list", "test": ("NOSUCH",)})
    with pytest.raises(ValueError, match="NOSUCH"):
        tune(tiny_sweep.model_copy(update={"splits": (split,)}))
    assert not tiny_sweep.directory.exists()


def _trials_of(driver: int) -> list[int]:
    """Processes that a driver's Ray has started for trials."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            number, _, rest = stat.read_text().partition(" (")
            parents[int(number)] = (int(rest.rpartition(") ")[2].split()[1]), rest)
    found = [driver]
    for one in found:
        found += [process for process, (parent, _) in parents.items() if parent == one]
    return [one for one in found[1:] if parents[one][1].startswith("ray::Implicit")]


@pytest.mark.usefixtures("ray_session")
def test_a_killed_sweep_ends_like_one_that_was_not(tiny_sweep: SweepConfig, tmp_path: Path) -> None:
    sweep = one_by_one(tiny_sweep)
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(sweep.model_dump(mode="json", exclude_unset=True)))
    code = (
        "import sweeps; sweeps.tune(sweeps.read_sweep('sweep.yaml'),"
        " report=lambda event: print(event.kind, event.trial, flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as driver:
        assert driver.stdout is not None
        told = list[str]()
        for line in driver.stdout:
            told.append(line)
            if line.startswith("round 1") and not any(one.startswith("retry") for one in told):
                for process in _trials_of(driver.pid):
                    with suppress(ProcessLookupError):  # it has just ended by itself
                        os.kill(process, signal.SIGKILL)
            if line.startswith("round 2"):
                driver.kill()
    assert driver.returncode != 0
    assert "retry 1\n" in told
    assert scores(sweep) == scores(sweep.model_copy(update={"name": "calm", "reuse": False}))


@pytest.mark.usefixtures("ray_session")
def test_the_study_of_several_metrics_learns_each_of_every_trial(
    tiny_sweep: SweepConfig,
) -> None:
    names = ["mse", "pearson_delta"]
    values = tiny_sweep.model_dump(mode="json", exclude_unset=True)
    values |= {
        "objective": [{"metric": name} for name in names],
        "budget": {"trials": 2, "concurrent": 1},
        "splits": values["splits"][:1],
    }
    sweep = SweepConfig.model_validate(values)
    tune(sweep)
    trials = Ledger(sweep.directory).trials()
    study = optuna.load_study(study_name="tiny", storage=f"sqlite:///{sweep.directory}/study.db")
    found = {one.number: one.values for one in study.get_trials(deepcopy=False) if one.params}
    assert found == {
        one.number: pytest.approx([one.mean, one.mean_of("pearson_delta")]) for one in trials
    }
