"""The limits of a run: kept by the controller, and no part of what the run is."""

import copy
import errno
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.train import ControllerError, PreemptionError, WorkerGroupError
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
)
from ray.train.v2._internal.execution.controller.state import (
    ReschedulingState,
    RestartingState,
    RunningState,
)
from ray.train.v2.api.preemption import PreemptionInfo

from cluster.nodes.following import _explained
from cluster.nodes.limits import (
    Controller,
    HopelessError,
    NoRoomError,
    State,
    Told,
    UnstartedError,
    nodes_of,
    require_hope,
)
from cluster.nodes.waiting import Waiting
from cluster.runs.identity import changed
from cluster.settings.config import make_run
from cluster.settings.failure import FailureLimits
from data_store.disk.room import room_for
from sweeps.schema.settings import require_setting
from sweeps.space import content_hash
from tests.cluster.small import settings


def test_limits_may_change_between_restarts(tmp_path: Path) -> None:
    before, now = (
        make_run(settings(tmp_path, tmp_path, failure={"worker_restarts": times}), where="test")
        for times in (1, 7)
    )
    assert before != now
    assert changed(before, now) == {}
    assert content_hash(before) == content_hash(now)
    with pytest.raises(ValueError, match="it decides no value; set it in base"):
        require_setting("failure.backoff", within="space")


def test_every_limit_is_finite() -> None:
    limits = FailureLimits()
    assert all(0 <= value < 1e6 for value in limits.model_dump().values())
    with pytest.raises(ValueError, match="finite"):
        FailureLimits(placement_timeout=float("inf"))


@pytest.mark.slow
@pytest.mark.ray
def test_restarts_come_later_each_time_and_a_long_wait_is_the_end(ray_session: None) -> None:
    told = Told("test")
    assert told.heard() == State(doing="starting")
    controller = Controller(FailureLimits(backoff=0.2), told)
    died = WorkerGroupError("worker 1 died", {1: RuntimeError("out of memory\nlong story")})
    began = time.monotonic()
    for _ in range(2):
        controller.after_controller_state_update(RunningState(), RestartingState(died))
    assert 0.6 <= time.monotonic() - began < 30
    last = "worker 1: out of memory; workers start again from the last checkpoint (restart 2 of 3)"
    assert told.heard() == State(doing="restarting", restarts=2, last=last)
    late = ReschedulingState(ControllerError(WorkerGroupStartupTimeoutError(2)))
    with pytest.raises(NoRoomError):
        controller.after_controller_state_update(RunningState(), late)
    told.forget()
    assert told.heard() == State(doing="starting")


@pytest.mark.slow
@pytest.mark.ray
def test_an_elastic_group_is_sized_again_until_it_has_waited_too_long(ray_session: None) -> None:
    told = Told("elastic")
    limits = FailureLimits(backoff=0, placement_timeout=600, controller_restarts=1)
    controller = Controller(limits, told, elastic=True)
    late = ReschedulingState(ControllerError(WorkerGroupStartupTimeoutError(2)))
    controller.before_worker_group_start(None)
    controller.after_controller_state_update(RunningState(), late)
    assert told.heard() == State(doing="waiting")
    assert controller._waits_since is not None
    controller._waits_since -= 601  # as ten minutes later
    with pytest.raises(NoRoomError):
        controller.after_controller_state_update(RunningState(), late)
    controller.after_worker_group_start(group("10.0.0.9"))
    controller.before_worker_group_start(None)
    controller.after_controller_state_update(RunningState(), late)  # it waits anew
    failed = ReschedulingState(ControllerError(WorkerGroupStartupFailedError("no disk")))
    controller.after_controller_state_update(RunningState(), failed)
    with pytest.raises(UnstartedError, match="no disk"):
        controller.after_controller_state_update(RunningState(), failed)
    full = WorkerGroupError("one", {0: OSError(errno.ENOSPC, "No space left on device")})
    with pytest.raises(HopelessError, match=r"worker 0 on node 10\.0\.0\.9"):
        controller.after_controller_state_update(RunningState(), RestartingState(full))
    told.forget()


@pytest.mark.slow
@pytest.mark.ray
def test_nodes_that_are_taken_away_have_a_limit_of_their_own(ray_session: None) -> None:
    told = Told("taken")
    controller = Controller(FailureLimits(backoff=0, preemption_restarts=7), told)
    taken = PreemptionError(PreemptionInfo(None, {"node": [0]}))
    died = WorkerGroupError("worker 1 died", {1: RuntimeError("out of memory")})
    for error in (taken, died, taken):
        controller.after_controller_state_update(RunningState(), RestartingState(error))
    heard = told.heard()
    assert heard.restarts == 3
    assert heard.last.endswith("start again from the last checkpoint (restart 2 of 7)")
    told.forget()


def group(*nodes: str) -> Any:
    """Workers on these nodes, as Ray Train hands them to a controller."""
    workers = [
        SimpleNamespace(
            distributed_context=SimpleNamespace(world_rank=rank),
            metadata=SimpleNamespace(node_ip=node),
        )
        for rank, node in enumerate(nodes)
    ]
    return SimpleNamespace(get_workers=lambda: workers)


def test_what_only_a_person_can_mend_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/runs/a/metrics.jsonl")
    died = WorkerGroupError("two", {0: RuntimeError("lost its peer"), 1: full})
    controller = Controller(FailureLimits(), Told("full"))
    with pytest.raises(HopelessError) as found:
        controller.after_controller_state_update(RunningState(), RestartingState(died))
    with pytest.raises(OSError, match=r"No space left on device: '/runs/a/metrics.jsonl'") as told:
        raise_explained(ControllerError(copy.copy(found.value)))
    assert told.value.errno == errno.ENOSPC
    assert "worker 1 met an error that a restart would meet again" in caplog.text
    with pytest.raises(HopelessError) as found:
        require_hope(died, nodes=nodes_of(group("10.0.0.1", "10.0.0.2")))
    with pytest.raises(OSError, match="No space"):
        raise_explained(ControllerError(found.value))
    assert "worker 1 on node 10.0.0.2 met an error" in caplog.text
    with pytest.raises(OSError, match="for runs/a") as ours, room_for(Path("runs/a")):
        raise full
    with pytest.raises(HopelessError) as found:  # as it comes from another process
        require_hope(WorkerGroupError("one", {0: copy.copy(ours.value)}), nodes={})
    with pytest.raises(OSError, match=r"^expected room for runs/a, got a full disk"):
        raise_explained(ControllerError(copy.copy(found.value)))
    lost = FileNotFoundError(errno.ENOENT, "No such file or directory")  # on that node's disk
    reset = ConnectionResetError(errno.ECONNRESET, "reset")
    forbidden = PermissionError(errno.EACCES, "Permission denied")  # an empty mount point
    for other in (RuntimeError("out of memory"), lost, reset, forbidden):
        require_hope(WorkerGroupError("one", {0: other}), nodes={})


def raise_explained(error: Exception) -> None:
    with _explained(FailureLimits(), Waiting("worker", pieces=1, cpus=1, waits=bool)):
        raise error
