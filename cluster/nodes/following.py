"""What the driver says while Ray Train's workers wait, run, die and start again."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError
from ray.train import ControllerError, PreemptionError, WorkerGroupError
from ray.train.v2.api.config import FailureConfig

from cluster.nodes.limits import (
    Controller,
    HopelessError,
    NoRoomError,
    Told,
    kept_by_ray,
)
from cluster.nodes.losses import died, reason
from cluster.nodes.stall import forget_living, stalls
from cluster.nodes.waiting import Waiting
from cluster.settings.failure import FailureLimits
from cluster.settings.group_size import GroupSize

log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """What Ray Train is given to keep a run's limits.

    Its own types are those of its first version, which lack what the second one has.
    """

    failures: Any  # FailureConfig
    callbacks: Any  # list
    lost: Callable[[], bool]  # whether workers have died, and none has started again


@contextmanager
def following(
    directory: Path, *, limits: FailureLimits, workers: GroupSize, cpus: float, gpus: float
) -> Iterator[Kept]:
    """Say what happens to the workers of a run, for the time of the block.

    Args:
        directory: Of the run.
        limits: Of the run.
        workers: At once, fewest and most.
        cpus: Cores of one.
        gpus: GPUs of one.

    Raises:
        RuntimeError: Ray Train has given up; says why in one line.
        OSError: So has it at once, since a restart would meet it again.
    """
    told = Told(f"run-{os.urandom(8).hex()}")
    says = _Says(told, directory)
    failures = FailureConfig(
        max_failures=limits.worker_restarts,
        max_preemption_failures=limits.preemption_restarts,
        # An elastic group fails to start until a lost node is missed; the controller counts.
        controller_failure_limit=-1 if workers.elastic else limits.controller_restarts,
    )
    waiting = Waiting(
        "worker", pieces=workers.least, cpus=cpus, gpus=gpus, together=True, waits=says.waits
    )
    with kept_by_ray(limits, elastic=workers.elastic), waiting, _explained(limits, waiting):
        try:
            yield Kept(
                failures, [Controller(limits, told, elastic=workers.elastic)], lambda: says.lost
            )
        finally:
            with suppress(RayError, RuntimeError):  # the cluster is gone
                says.waits()  # what happened last
                told.forget()
            forget_living(directory)


@contextmanager
def _explained(limits: FailureLimits, waiting: Waiting) -> Iterator[None]:
    """Say in one line why Ray Train has given up."""
    again = "mend that and run the command again to go on"
    try:
        yield
    except ControllerError as error:
        if isinstance(error.controller_failure, NoRoomError):
            raise RuntimeError(
                f"gave up {waiting.line}; failure.placement_timeout is "
                f"{limits.placement_timeout:g} s: raise it, add nodes, or ask for fewer --workers"
            ) from error
        if isinstance(error.controller_failure, HopelessError):
            who, *cause = error.controller_failure.args
            log.warning("%s met an error that a restart would meet again", who)
            # By its number Python makes the right kind of it, such as a PermissionError.
            raise OSError(*cause) from error
        raise RuntimeError(
            f"workers could not start ({reason(error)}), and failure.controller_restarts is "
            f"{limits.controller_restarts}; {again}"
        ) from error
    except PreemptionError as error:
        raise RuntimeError(
            "nodes were taken away once more, and failure.preemption_restarts is "
            f"{limits.preemption_restarts}; run the command again to go on"
        ) from error
    except WorkerGroupError as error:
        if not any(map(died, error.worker_failures.values())):
            raise
        raise RuntimeError(
            f"a worker died ({reason(error)}), and failure.worker_restarts is "
            f"{limits.worker_restarts}; {again}"
        ) from error


class _Says:
    """Turns states of the controller into lines.

    Attributes:
        lost: Whether workers had died, and none had started again, when they were last asked of.
    """

    def __init__(self, told: Told, directory: Path) -> None:
        self._told, self._directory = told, directory
        self._restarts = 0
        self.lost = False
        self._known = {stall.file for stall in stalls(directory, known=set())}

    def waits(self) -> bool:
        """Whether workers wait for room now; says what is new."""
        state = self._told.heard()
        self.lost = state.restarts > 0 and state.doing != "running"
        for stall in stalls(self._directory, known=self._known):
            log.warning(stall.line)
        if state.restarts > self._restarts:
            self._restarts = state.restarts
            log.warning(state.last)
        return state.doing == "waiting" and _unplaced()


def _unplaced() -> bool:
    """Whether a group of workers has no room yet; one that has it may still load its packages."""
    groups = ray.util.placement_group_table()
    return any(group["state"] not in ("CREATED", "REMOVED") for group in groups.values())
