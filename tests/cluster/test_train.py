"""Facts of training through Ray Train."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.processes import descendants
from cluster.runs.directory import RunDirectory
from cluster.session import share
from cluster.settings.config import RunConfig, make_run, write_run
from cluster.train import train, train_here
from tests.cluster.small import settings
from tests.network import listening

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(300)]

# Stands still after the checkpoint of step 3; the line of step 5 is in the journal by then.
KILLED = """
import sys, time
from pathlib import Path
from cluster.settings.config import read_run
from cluster.train import train_here

def report(line):
    if "loss" in line and line["step"] == 5:
        print("at step 5", flush=True)
        time.sleep(300)

train_here(read_run(Path(sys.argv[1])), report=report)
"""


def weights(directory: Path) -> bytes:
    return (directory / "model" / "model.safetensors").read_bytes()


def test_a_ray_worker_learns_the_same_bytes_as_this_process(
    tiny_store_path: Path, tmp_path: Path, ray_session: None
) -> None:
    here = make_run(settings(tiny_store_path, tmp_path / "here"), where="test")
    there = make_run(settings(tiny_store_path, tmp_path / "there"), where="test")
    train_here(here)
    seen: list[dict[str, object]] = []
    result = train(there, cpus_per_worker=1, report=seen.append)
    assert result.finished
    assert weights(result.directory) == weights(here.directory)
    written = list(RunDirectory(there.directory).journal.lines())
    assert [line["step"] for line in seen] == [line["step"] for line in written]


def test_relative_paths_mean_the_driver_s_directory(
    tiny_store_path: Path, tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_store_path.parent)
    values = settings(Path(tiny_store_path.name), tmp_path)
    assert train(make_run(values, where="test"), cpus_per_worker=1).finished


def test_an_error_of_the_run_itself_is_not_tried_again(
    tiny_store_path: Path, tmp_path: Path, ray_session: None
) -> None:
    steep = {"steps": 50, "learning_rate": 1e30, "validate_every": 50}
    run = make_run(settings(tiny_store_path, tmp_path, training=steep), where="test")
    with pytest.raises(FloatingPointError, match=r"lower training\.learning_rate"):
        train(run, cpus_per_worker=1)


def test_two_workers_share_the_batches(
    tiny_store_path: Path, tmp_path: Path, ray_session: None
) -> None:
    run = make_run(settings(tiny_store_path, tmp_path), where="test")
    strange: set[str] = set()

    def look(line: object) -> None:
        strange.update(listening(descendants())[1])

    result = train(run, workers=2, cpus_per_worker=1, report=look)
    assert result.finished
    assert strange == set(), "the workers listen to other machines"
    state = RunDirectory(run.directory).states.newest
    assert state is not None
    progress = json.loads((state / "progress.json").read_text())
    assert progress["step"] == 6
    assert progress["next_batch"] == 12


def test_more_cores_than_there_are_is_refused(run: RunConfig, ray_session: None) -> None:
    with pytest.raises(ValueError, match=r"room for 99 workers of 1 CPU, .* 2; .*--workers"):
        train(run, workers=99, cpus_per_worker=1)
    with pytest.raises(ValueError, match=r"1 worker of 3 CPUs, .* room for 0; .*--cpus-per-work"):
        train(run, cpus_per_worker=3)
    with pytest.raises(ValueError, match=r"1 CPU and 1 GPU, got a cluster of 2 CPUs.* leave --gpu"):
        train(run, cpus_per_worker=1, gpu=True)
    assert not run.directory.exists()


def test_a_killed_run_continues_to_the_same_bytes(tiny_store_path: Path, tmp_path: Path) -> None:
    longer = {"steps": 30, "learning_rate": 1e-3, "validate_every": 3, "log_every": 1}
    whole = make_run(settings(tiny_store_path, tmp_path / "a", training=longer), where="test")
    killed = make_run(settings(tiny_store_path, tmp_path / "b", training=longer), where="test")
    train_here(whole)
    write_run(killed, tmp_path / "run.yaml")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "run.yaml")],
        stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "at step 5\n"
        while RunDirectory(killed.directory).states.step != 3:
            time.sleep(0.02)  # it is written beside the training
        child.kill()
    assert not (killed.directory / "result.json").exists()
    train_here(killed)
    assert weights(killed.directory) == weights(whole.directory)
    lines = list(RunDirectory(killed.directory).journal.lines())
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 31))


def test_a_damaged_shard_ends_two_workers_at_once_and_is_named(
    tiny_store_path: Path, tmp_path: Path, ray_session: None
) -> None:
    store = Path(shutil.copytree(tiny_store_path, tmp_path / "flipped.zarr"))
    for shard in (store / "cells.zarr" / "X" / "data" / "c").iterdir():
        content = bytearray(shard.read_bytes())
        content[len(content) // 3] ^= 1
        shard.write_bytes(bytes(content))
    run = make_run(settings(store, tmp_path, graph="none"), where="test")
    with pytest.raises(ValueError, match=r"X/data"):
        train(run, workers=2, cpus_per_worker=1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": {"kind": "additive", "fraction": 0.01}}, "use kind"),
        ({"store": "nothing.zarr"}, "nothing.zarr"),
    ],
    ids=["an empty part", "no store"],
)
def test_a_run_that_could_not_begin_leaves_nothing(
    tiny_store_path: Path, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    run = make_run(settings(tiny_store_path, tmp_path) | changes, where="test")
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        train(run)
    assert not run.output.exists()


def test_workers_share_the_cores_of_the_cluster_equally(ray_session: None) -> None:
    assert [share(workers) for workers in (1, 2, 3)] == [2, 1, 1]
