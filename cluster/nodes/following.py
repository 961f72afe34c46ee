"""What the driver says while Ray Train's workers wait, run, die and start again."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import ray
from ray.exceptions import RayError

from cluster.nodes.limits import State, Told
from cluster.nodes.stall import stalls
from cluster.nodes.waiting import Waiting
from cluster.settings.failure import FailureLimits

log = logging.getLogger(__name__)


@contextmanager
def following(
    directory: Path, *, limits: FailureLimits, workers: int, cpus: float, gpus: float
) -> Iterator[tuple[Told, Waiting]]:
    """Say what happens to the workers of a run, for the time of the block.

    Args:
        directory: Of the run.
        limits: Of the run.
        workers: At once.
        cpus: Cores of one.
        gpus: GPUs of one.
    """
    told = Told(f"run-{os.urandom(8).hex()}")
    says = _Says(told, directory, limits=limits)
    with Waiting(
        "worker",
        pieces=workers,
        cpus=cpus,
        gpus=gpus,
        waits=says.waits,
    ) as waiting:
        try:
            yield told, waiting
        finally:
            with suppress(RayError, RuntimeError):  # the cluster is gone
                says.waits()  # what happened last
                told.forget()


class _Says:
    """Turns states of the controller into lines."""

    def __init__(self, told: Told, directory: Path, *, limits: FailureLimits) -> None:
        self._told, self._directory, self._limits = told, directory, limits
        self._restarts = 0
        self._known = {stall.file for stall in stalls(directory, known=set())}

    def waits(self) -> bool:
        """Whether workers wait for room now; says what is new."""
        state = self._told.heard()
        for stall in stalls(self._directory, known=self._known):
            log.warning(stall.line)
        if state.restarts > self._restarts:
            self._restarts = state.restarts
            log.warning(self._restarted(state))
        return state.doing == "waiting" and _unplaced()

    def _restarted(self, state: State) -> str:
        return (
            f"{state.reason}; workers start again from the last checkpoint "
            f"(restart {state.restarts} of {self._limits.worker_restarts})"
        )


def _unplaced() -> bool:
    """Whether a group of workers has no room yet; one that has it may still load its packages."""
    groups = ray.util.placement_group_table()
    return any(group["state"] not in ("CREATED", "REMOVED") for group in groups.values())
