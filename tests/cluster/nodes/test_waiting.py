"""Work that finds no room says what it waits for, and ends."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from cluster.nodes import waiting
from cluster.nodes.waiting import Waiting
from cluster.predict import actors
from cluster.predict.actors import predict
from cluster.settings.config import make_run
from cluster.train import train
from sweeps import SweepConfig
from sweeps.running import SweepFailedError
from sweeps.study import tune
from tests.cluster.predict.asking import request
from tests.cluster.small import settings
from tests.sweeps.conftest import TINY

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(240)]

SOON = {"placement_timeout": 1.5}


class Holder:
    """Takes all cores."""

    def here(self) -> bool:
        """Whether it runs."""
        return True


@pytest.fixture(scope="module")
def full(ray_session: None) -> Iterator[None]:
    """No core of the session is free."""
    holder: Any = ray.remote(num_cpus=2)(Holder).remote()
    assert ray.get(holder.here.remote())
    while ray.available_resources().get("CPU", 0):  # type: ignore[no-untyped-call]
        time.sleep(0.05)  # it is known a moment after the actor runs
    yield
    ray.kill(holder)


def test_a_piece_that_has_room_is_said_to_start(free_cores: None) -> None:
    """Stands before what takes all cores."""
    line = Waiting("trial", pieces=1, cpus=1, waits=lambda: True).line
    assert line.startswith("waiting for 1 trial to start; there is room")


def test_a_group_that_has_room_for_some_alone_is_not_said_to_start(free_cores: None) -> None:
    line = Waiting("worker", pieces=3, cpus=1, together=True, waits=lambda: True).line
    assert line.startswith("waiting for 3 workers x 1 CPU; this machine has 2 CPUs (2 free)")


def test_the_wait_is_spoken_of_with_what_there_is(
    full: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(waiting, "EVERY", 0.5)
    caplog.set_level("INFO", logger="cluster")
    with Waiting("worker", pieces=2, cpus=1, timeout=2.0, waits=lambda: True) as wait:
        while not wait.expired:
            time.sleep(0.1)
    said = {record.message for record in caplog.records}
    assert said == {
        "waiting for 2 workers x 1 CPU; this machine has 2 CPUs (0 free): work that runs, or "
        "starts, holds the rest"
    }


def test_too_few_nodes_are_told_from_nodes_that_are_in_use(full: None) -> None:
    line = Waiting("worker", pieces=3, cpus=1, waits=lambda: True).line
    assert line.endswith("this machine has 2 CPUs (0 free), with room for 2 if all were free")


def test_training_a_sweep_and_a_prediction_give_up_in_one_line(
    full: None,
    trained: Path,
    tiny_store_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = make_run(settings(tiny_store_path, tmp_path, failure=SOON), where="test")
    with pytest.raises(RuntimeError, match=r"^gave up waiting for 1 worker x 1 CPU; .* 1\.5 s: ra"):
        train(run, cpus_per_worker=1)

    monkeypatch.setattr(actors, "PLACEMENT", 1.5)
    with pytest.raises(RuntimeError, match=r"^gave up waiting for 1 actor x 1 CPU; .*--actors"):
        predict(request(trained, tmp_path / "new.zarr"))

    monkeypatch.chdir(tmp_path)
    base = {**TINY["base"], "store": str(tiny_store_path), "failure": SOON}
    sweep = SweepConfig.model_validate({**TINY, "name": "sweep", "base": base})
    with pytest.raises(
        SweepFailedError, match=r"^gave up waiting for 1 trial x 1 CPU; .*placement"
    ):
        tune(sweep)
