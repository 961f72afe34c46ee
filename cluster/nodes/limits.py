"""The limits of a run, as Ray Train's controller keeps them.

Ray Train waits for room as often as workers may fail to start, and starts them again at once. Here
the wait ends after `placement_timeout`, and a restart waits for `backoff`, twice as long each time.
What happens is told to the driver through the cluster's own key-value table.
"""

import errno
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TypeGuard

from pydantic import BaseModel
from ray.experimental.internal_kv import (
    _internal_kv_del,
    _internal_kv_get,
    _internal_kv_put,
)
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError
from ray.train.v2._internal.execution.callback import ControllerCallback, WorkerGroupCallback
from ray.train.v2._internal.execution.controller.state import ReschedulingState, RestartingState
from ray.train.v2._internal.execution.failure_handling.default import _is_preemption_failure
from ray.train.v2.api.exceptions import TrainingFailedError

from cluster.nodes.losses import reason
from cluster.settings.failure import FailureLimits

_SPACE = b"scdfm"
_LONGEST = 60.0  # seconds before a restart
_ANSWER = 30.0  # seconds that Ray waits for a worker longer than the worker's own watchdog
_HOPELESS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.ENAMETOOLONG,
}
_LOOKS_AGAIN = 15.0  # seconds after which an elastic group that is not placed is sized anew


class NoRoomError(RuntimeError):
    """Workers found no room on the cluster in time."""


class HopelessError(RuntimeError):
    """A worker met what a restart meets again, such as a full disk.

    `args` are who met it, and those of its OSError; of one in our words, the line.
    """


class UnstartedError(RuntimeError):
    """Workers died while they started, more often than they may."""


class State(BaseModel, frozen=True):
    """What the controller does."""

    doing: Literal["starting", "waiting", "running", "restarting"]
    restarts: int = 0  # of all kinds
    last: str = ""  # what is told of the last one


class Told(NamedTuple):
    """The place in the cluster's table where a run's controller tells its state."""

    key: str

    def tell(self, state: State) -> None:
        """Say what is done now."""
        _internal_kv_put(
            self.key.encode(), state.model_dump_json().encode(), overwrite=True, namespace=_SPACE
        )

    def heard(self) -> State:
        """What was said last."""
        said: bytes | None = _internal_kv_get(self.key.encode(), namespace=_SPACE)
        return State(doing="starting") if said is None else State.model_validate_json(said)

    def forget(self) -> None:
        """Remove it."""
        _internal_kv_del(self.key.encode(), namespace=_SPACE)


class Controller(ControllerCallback, WorkerGroupCallback):
    """Called by Ray Train's controller, in its process."""

    def __init__(self, limits: FailureLimits, told: Told, *, elastic: bool = False) -> None:
        """Keep limits.

        Args:
            limits: Of the run.
            told: Where to tell what happens.
            elastic: The number of workers may change: a node that has just died counts as room
                until it is missed, so a group that finds none is sized again.
        """
        self._limits, self._told, self._elastic = limits, told, elastic
        self._waits_since: float | None = None
        # Restarts after workers died, after their node was taken away, after they did not start.
        self._died, self._taken, self._unstarted = 0, 0, 0
        self._last = ""
        self._nodes: dict[int, str] = {}  # addresses, by the worker's rank

    def before_worker_group_start(self, worker_group_context: Any) -> None:
        """Workers wait for room."""
        self._waits_since = self._waits_since or time.monotonic()
        self._tell("waiting")

    def after_worker_group_start(self, worker_group: Any) -> None:
        """Workers are there."""
        self._waits_since = None
        self._nodes = nodes_of(worker_group)
        self._tell("running")

    def after_controller_state_update(self, previous_state: Any, current_state: Any) -> None:
        """Workers failed, or found no room.

        Raises:
            HopelessError: They would fail again; nor after this one.
            NoRoomError: They found none in time; Ray Train does not try again after it.
            UnstartedError: They failed too often; where Ray Train does not count.
        """
        if not isinstance(current_state, RestartingState | ReschedulingState):
            return
        error: TrainingFailedError = current_state.training_failed_error
        cause = getattr(error, "controller_failure", error)
        if isinstance(cause, WorkerGroupStartupTimeoutError):
            if not self._elastic or self._waited > self._limits.placement_timeout:
                raise NoRoomError("no room")
            return
        require_hope(error, nodes=self._nodes)
        pause = min(self._limits.backoff * 2**self._restarts, _LONGEST)
        self._count(current_state, error)
        if self._elastic and self._unstarted > self._limits.controller_restarts:
            raise UnstartedError(reason(error))
        self._tell("restarting")
        time.sleep(pause)

    def _count(self, state: Any, error: TrainingFailedError) -> None:
        """Note a restart, of the kind that Ray Train counts it as."""
        if _is_preemption_failure(error):
            self._taken += 1
            number, of = self._taken, self._limits.preemption_restarts
        elif isinstance(state, RestartingState):
            self._died += 1
            number, of = self._died, self._limits.worker_restarts
        else:
            self._unstarted += 1
            number, of = self._unstarted, self._limits.controller_restarts
        self._last = (
            f"{reason(error)}; workers start again from the last checkpoint "
            f"(restart {number} of {of})"
        )

    @property
    def _waited(self) -> float:
        """Seconds since workers last ran."""
        return 0.0 if self._waits_since is None else time.monotonic() - self._waits_since

    @property
    def _restarts(self) -> int:
        return self._died + self._taken + self._unstarted

    def _tell(self, doing: Literal["waiting", "running", "restarting"]) -> None:
        self._told.tell(State(doing=doing, restarts=self._restarts, last=self._last))


def nodes_of(worker_group: Any) -> dict[int, str]:
    """The addresses of the nodes of workers, by their rank."""
    return {
        worker.distributed_context.world_rank: worker.metadata.node_ip
        for worker in worker_group.get_workers()
    }


def hopeless(error: BaseException | None) -> TypeGuard[OSError]:
    """Whether an error is one that only a person can mend, such as a full disk."""
    return isinstance(error, OSError) and error.errno in _HOPELESS


def require_hope(error: TrainingFailedError, *, nodes: Mapping[int, str]) -> None:
    """Refuse to start workers again after what only a person can mend.

    A full disk: three restarts took 78 s to say so. A place that is not there, or that may not be
    written, may be: an empty mount point, where a disk of the network is late.
    The note of `cluster.runs.refusal` cannot be written where the disk is full.

    Args:
        error: Of the workers.
        nodes: Their addresses, by rank, as far as they are known.

    Raises:
        HopelessError: One of them met such an error.
    """
    for rank, failure in getattr(error, "worker_failures", {}).items():
        if hopeless(failure):
            who = f"worker {rank}" + (f" on node {nodes[rank]}" if rank in nodes else "")
            if failure.strerror is None:  # a line of ours
                raise HopelessError(who, str(failure))
            raise HopelessError(who, failure.errno, failure.strerror, failure.filename)


@contextmanager
def kept_by_ray(limits: FailureLimits, *, elastic: bool = False) -> Iterator[None]:
    """Let Ray Train itself keep the limits that it has settings for, in the environment."""
    patience = limits.placement_timeout
    settings = {
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": min(_LOOKS_AGAIN, patience)
        if elastic
        else patience,
        # A worker that is frozen, or whose machine is, cannot end itself.
        "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": limits.stall_timeout + _ANSWER,
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update({name: str(value) for name, value in settings.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
