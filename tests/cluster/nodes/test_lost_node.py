"""A node that is lost while a run trains on it: what is said, and what is kept."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from safetensors.numpy import load_file

from cluster.runs.directory import RunDirectory
from cluster.settings.config import make_run, write_run
from scdfm.flow.files import WEIGHTS
from tests.cluster.nodes.cluster_of_two import HEAD, SECOND, Two
from tests.cluster.small import settings
from tests.cluster.work.test_group_size import alone
from tests.terminal import SOON, heard

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(1_000)]


@pytest.fixture
def two() -> Iterator[Two]:
    cluster = Two()
    yield cluster
    cluster.end()


class Driver:
    """A `scdfm` on the cluster; its lines are read as they come."""

    def __init__(self, cluster: Two, *arguments: object) -> None:
        command = [sys.executable, "-m", "cli.main", *map(str, arguments)]
        with heard():
            self.process = subprocess.Popen(
                [*command, "--address", cluster.address],
                stderr=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=cluster.environment,
                text=True,
            )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, text: str, *, seconds: float = 300) -> str:
        """The first line with a text."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = next((line for line in self.lines if text in line), None)
            if found is not None:
                return found
            assert self.process.poll() is None, self.lines
            time.sleep(0.05)
        raise AssertionError(f"no {text!r} in {self.lines}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stderr, self.process.stdout):
            assert stream is not None
            stream.close()

    def end(self, *, seconds: float = 200) -> int:
        """Its exit status."""
        status = self.process.wait(timeout=seconds)
        self._reader.join()
        return status


def test_a_lost_node_is_named_the_wait_is_spoken_of_and_ctrl_c_ends_it(
    two: Two, tiny_store_path: Path, tmp_path: Path
) -> None:
    longer = {"steps": 30_000, "learning_rate": 1e-3, "validate_every": 10, "log_every": 10}
    lost = make_run(settings(tiny_store_path, tmp_path, training=longer), where="test")
    write_run(lost, tmp_path / "run.yaml")

    with Driver(two, "train", tmp_path / "run.yaml", "--cpus-per-worker", SECOND) as driver:
        # A checkpoint is written beside training: that of step 10 is there when the next is due.
        driver.wait_for("validation at step 20")
        two.tell("remove")
        driver.wait_for("workers start again from the last checkpoint (restart 1 of 3)")
        waits = driver.wait_for(" s ago")
        assert f"waiting for 1 worker x {SECOND} CPUs; the cluster has {HEAD} CPU" in waits
        assert " died " in waits
        assert "with room for 0" in waits
        began = time.monotonic()
        driver.process.send_signal(signal.SIGINT)
        assert driver.end() == 130
        assert time.monotonic() - began < SOON
        assert driver.process.stdout is not None
        assert driver.process.stdout.read() == "", "Ray told of its raylet"
    assert driver.lines[-1] == "scdfm: interrupted; run the command again to go on"
    assert not any("Traceback" in line for line in driver.lines)
    kept = RunDirectory(lost.directory).states.newest
    assert kept is not None
    assert int(kept.name.removeprefix("step-")) >= 10


def test_a_run_of_one_to_two_workers_goes_on_with_one_and_learns_the_same(
    two: Two, tiny_store_path: Path, tmp_path: Path
) -> None:
    training = {"steps": 150, "learning_rate": 1e-3, "validate_every": 10, "log_every": 10}
    lost, calm = (
        make_run(settings(tiny_store_path, tmp_path / name, training=training), where="test")
        for name in ("lost", "calm")
    )
    write_run(lost, tmp_path / "run.yaml")
    directory = RunDirectory(lost.directory)
    arguments = ("--workers", "1-2", "--cpus-per-worker", "1")
    with Driver(two, "train", tmp_path / "run.yaml", *arguments) as driver:
        driver.wait_for("; 2 workers of 1 thread")
        # Sooner than a driver on a busy machine would say it: the run must not end before.
        while (directory.states.step or 0) < 10:
            assert driver.process.poll() is None, driver.lines
            time.sleep(0.01)
        two.tell("remove")
        driver.wait_for("workers start again from the last checkpoint (restart 1 of 3)")
        driver.wait_for("; 1 worker of 1 thread")
        assert driver.end(seconds=400) == 0
    assert directory.manifest is not None
    last = directory.manifest.arithmetic[-1]
    assert (last.workers, last.batches) == (1, 2)
    alone(calm, most=2)
    by_both, by_one = (load_file(run.directory / "model" / WEIGHTS) for run in (lost, calm))
    for name, values in by_one.items():
        np.testing.assert_allclose(by_both[name], values, atol=1e-4, err_msg=name)
