"""Facts of a sweep that lives in an object store: as one on a disk, value for value."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from cli.show.describe import describe
from cluster.door.model import load_model
from cluster.storage import lease as leases
from cluster.storage.mirror import mirror_of
from cluster.storage.places import folder_of
from cluster.storage.reading import fetched
from cluster.storage.storage import storage_at
from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.ledger import Event
from sweeps.objective import run_trial
from sweeps.report import report
from sweeps.space import split_run
from sweeps.winners.records import final

SCORE: Event = {"event": "split", "trial": "t", "split": 0, "value": 1.5}


@pytest.fixture
def far(tiny_sweep: SweepConfig, bucket: str) -> SweepConfig:
    """The tiny sweep on one split, in an object store."""
    values = tiny_sweep.model_dump(mode="json", exclude_unset=True)
    splits = tiny_sweep.splits[:1]
    return SweepConfig.model_validate(values | {"output": f"{bucket}/runs", "splits": splits})


def lines_of(sweep: SweepConfig) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    run_trial(sweep.baseline, sweep=sweep, report=lines.append)
    return lines


@pytest.mark.slow
def test_a_trial_there_reports_what_one_on_a_disk_does_and_is_copied_by_another_sweep(
    far: SweepConfig, bucket: str
) -> None:
    near = far.model_copy(update={"output": Path("runs")})
    lines = lines_of(far)
    assert lines == lines_of(near)
    run = split_run(far, far.baseline, split=0)
    place = f"{bucket}/runs/tiny/trials/{run.directory.parent.name}/split-0"
    names = mirror_of(place).names()
    assert "model/model.safetensors" in names
    assert not any(name.startswith("checkpoints/") for name in names)
    weights = "model/model.safetensors"
    own = split_run(near, near.baseline, split=0).directory / weights
    assert (run.directory / weights).read_bytes() == own.read_bytes()

    again = lines_of(far.model_copy(update={"name": "again"}))
    assert again[-1] == {**lines[-1], "taken": place}


def test_each_line_of_the_ledger_is_there_with_the_study_once_it_is_written(
    far: SweepConfig, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, place = SweepDirectory(far.directory), f"{bucket}/runs/tiny"
    assert not directory.exists
    for name, seconds in (("BEAT", 0.2), ("_LOOK", 0.1)):
        monkeypatch.setattr(leases, name, seconds)
    with directory.held():
        directory.study.write_bytes(b"proposed")
        directory.ledger.write(SCORE)
        index = mirror_of(place).names()
        assert index == ["ledger.jsonl", "study.db"]
        line = rf"^{place} is being written by .* \(process {os.getpid()}\), since 20"
        with pytest.raises(ValueError, match=line), leases.lease(storage_at(place)):
            pass
        directory.leaderboard.write_text("rank")
    assert directory.exists
    assert "leaderboard.csv" in mirror_of(place).names()


def test_an_address_with_nothing_is_told_to_have_nothing(bucket: str) -> None:
    line = rf"^expected a store, run, sweep, model or prediction at {bucket}/runs/no, found nothing"
    with pytest.raises(FileNotFoundError, match=line):
        describe(Path(f"{bucket}/runs/no"))


def begun(sweep_file: Path) -> subprocess.Popen[str]:
    """`scdfm tune`, in a process of its own: a machine whose folders are empty."""
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "tune", str(sweep_file), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(sweep: SweepConfig) -> list[Event]:
    """The splits that the ledger in the object store has."""
    ledger = SweepDirectory(sweep.directory).fetch().ledger
    return [event for event in ledger.events() if event["event"] == "split"]


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1_000)
def test_a_sweep_whose_driver_was_killed_goes_on_from_the_store(
    far: SweepConfig, bucket: str, tmp_path: Path
) -> None:
    budget = {"trials": 2, "concurrent": 1}
    changes = {"budget": budget, "prune": {"scheduler": "none"}, "final": {"retrain": True}}
    values = far.model_dump(mode="json", exclude_unset=True) | changes
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(values))
    far = SweepConfig.model_validate(values)
    first = begun(tmp_path / "sweep.yaml")
    deadline = time.monotonic() + 400
    while not ended(far):
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()

    second = begun(tmp_path / "sweep.yaml")
    out, said = second.communicate(timeout=500)
    assert second.returncode == 0, said
    assert "Traceback" not in said
    assert "scdfm-" not in out + said, "a folder of this process was told"
    told = ended(far)
    assert len(told) == len({event["trial"] for event in told}) == 2
    near = far.model_copy(update={"output": tmp_path / "near"})
    for trial in SweepDirectory(far.directory).ledger.trials():
        lines: list[dict[str, Any]] = []
        run_trial(trial.configuration, sweep=near, report=lines.append)
        assert lines[-1]["score"] == trial.values[0]

    place = f"{bucket}/runs/tiny"
    names = mirror_of(place).names()
    wanted = {"best.yaml", "best/model.safetensors", "choice.json", "leaderboard.csv", "study.db"}
    assert wanted | {"final.json"} <= {*names}
    assert not any(name.startswith(("tune/", "trials/", "final/")) for name in names)
    tested = final(SweepDirectory(far.directory))
    assert tested is not None
    for part in tested.winner.splits:
        model = f"{place}/{part.model}"
        assert part.retrained == ("/final/" in model)
        assert load_model(model).genes
    assert not [n for n in storage_at(place).names("trials") if "parts/checkpoints" in n]
    study = optuna.load_study(
        study_name="tiny", storage=f"sqlite:///{folder_of(place) / 'study.db'}"
    )
    assert [one.number for one in study.get_trials() if one.params] == [1, 2]
    assert load_model(f"{place}/best").genes
    assert "trial" in str(report([fetched(place)]))
    facts = describe(Path(place))
    assert (facts["kind"], facts["state"], facts["over"]) == ("sweep", "done", 2)
