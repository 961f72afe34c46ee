"""Workers inside a trial: the numbers of `scdfm train --workers`, and nothing is left of them."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml

from cluster.processes import descendants
from cluster.runs.directory import RunDirectory
from cluster.train import train
from sweeps import SweepConfig, tune
from sweeps.room import concurrent
from sweeps.space import split_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("ray_session"),
]
OURS = ("ray::RayTrainWorker", "ray::TrainController", "ray::PlacementGroup", "cluster.job")


def with_workers(sweep: SweepConfig, *, steps: int, **changes: Any) -> SweepConfig:
    base = sweep.base | {"training": sweep.base["training"] | {"steps": steps}}
    return sweep.model_copy(
        update={
            "base": base,
            "splits": sweep.splits[:1],
            "resources": sweep.resources.model_copy(update={"workers": 2}),
            "budget": sweep.budget.model_copy(update={"trials": 2, "concurrent": 1}),
            "reuse": False,
            **changes,
        }
    )


def held() -> set[str]:
    """Placement groups that hold or want room, and processes of Ray Train and around it."""
    table: dict[str, Any] = ray.util.placement_group_table()
    groups = {f"{name} {one['state']}" for name, one in table.items() if one["state"] != "REMOVED"}
    lines = {process: _line(process) for process in descendants()}
    return groups | {
        f"{process} {name}" for process, line in lines.items() for name in OURS if name in line
    }


def free() -> float:
    """Cores that nothing holds."""
    resources: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return resources.get("CPU", 0)


def _line(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def soon(fact: Callable[[], bool], *, seconds: float = 120) -> bool:
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_pruned_trials_with_workers_leave_nothing_and_others_score_as_runs(
    tiny_sweep: SweepConfig,
) -> None:
    before = held()  # by other tests: Ray's cleaner may stay after a training that has ended
    prune = tiny_sweep.prune.model_copy(update={"factor": 3.0})
    sweep = with_workers(tiny_sweep, steps=8, prune=prune)
    whole = sweep.model_copy(update={"budget": tiny_sweep.budget})
    assert concurrent(whole) == 1, "two workers take both cores"
    rows = tune(sweep).leaderboard
    assert {row.state for row in rows} == {"complete", "pruned"}
    assert soon(lambda: not held() - before), held() - before
    assert soon(lambda: free() == 2)

    best = rows[0]
    run = split_run(sweep, best.configuration, split=0)
    alone = train(run.model_copy(update={"name": "alone", "output": Path("runs")}), workers=2)
    assert alone.metrics["mse"] == best.value


def test_the_death_of_the_driver_ends_workers_inside_trials(
    tiny_sweep: SweepConfig, tmp_path: Path
) -> None:
    before = held()
    sweep = with_workers(tiny_sweep, steps=100_000)
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(json.loads(sweep.model_dump_json(exclude_unset=True))))
    address = ray.get_runtime_context().gcs_address
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "tune", str(file), "--address", address]
    ) as driver:
        try:
            run = RunDirectory(split_run(sweep, sweep.baseline, split=0).directory)
            assert soon(lambda: any(line["step"] > 0 for line in run.journal.lines()), seconds=200)
            assert len(held() - before) >= 5, "a group, a job, a controller and two workers"
        finally:
            driver.send_signal(signal.SIGKILL)
    assert soon(lambda: not held() - before), held() - before
    assert soon(lambda: free() == 2)
