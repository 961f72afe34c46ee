"""Trials whose process died, or the node it was on, as Ray Tune should take them.

Ray 2.60 mistakes two deaths, and there is no public place to mend that. A kill for memory is told
by an error that is none of an actor, which Ray Tune does not expect: it would end all trials with
"Caught unexpected exception". And a process that is lost while it turns from one trial to the next
is told twice, so that a trial that may fail once has failed for good before it has begun.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution.tune_controller import TuneController

from cluster.nodes.losses import reason


class KilledError(RayActorError):
    """Ray has killed a trial's process because its node was short of memory."""


def death(trial: Any) -> str | None:
    """What is told of a trial whose process died; None if its own code raised something."""
    error = error_of(trial)
    if not isinstance(error, RayActorError) or error.actor_init_failed:
        return None
    return reason(error)


def error_of(trial: Any) -> BaseException | None:
    """The error of a trial that has just failed."""
    noted = Path(trial.pickled_error_file) if trial.pickled_error_file else None
    if noted is None or not noted.is_file():
        return None
    error: BaseException = cloudpickle.loads(noted.read_bytes())
    return error


@contextmanager
def known_to_tune() -> Iterator[None]:
    """Make each death of a trial's process one failure of that trial, for the time of the block."""
    task_failed = RayActorManager._actor_task_failed
    trial_failed = TuneController._process_trial_failure
    told: dict[str, BaseException] = {}  # the last one of each trial

    @functools.wraps(task_failed)
    def known(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = KilledError(error_msg=str(exception))
        task_failed(self, tracked_actor_task, exception)

    @functools.wraps(trial_failed)
    def once(self: TuneController, trial: Any, exception: Any) -> None:
        if told.get(trial.trial_id) is exception:
            return
        told[trial.trial_id] = exception
        self._resetting_trials.discard(trial)  # else it is never given a process again
        trial_failed(self, trial, exception)

    RayActorManager._actor_task_failed = known  # type: ignore[method-assign]
    TuneController._process_trial_failure = once  # type: ignore[method-assign]
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = task_failed  # type: ignore[method-assign]
        TuneController._process_trial_failure = trial_failed  # type: ignore[method-assign]
