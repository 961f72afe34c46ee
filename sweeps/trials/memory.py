"""Trials that ran out of memory, known by the type of their error.

There are three: MemoryError of Python, and of torch's allocator on a CPU; torch's OutOfMemoryError
of a GPU; Ray's OutOfMemoryError, by which it tells that a node was short of memory and a worker
was killed. What the kernel kills is a worker that died, as any other.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from ray import cloudpickle
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

from cluster.nodes.limits import reason

LIMIT = "memory"  # the constraint that Optuna is told is violated
_OF_A_CPU = "can't allocate memory"  # torch's allocator raises a RuntimeError that says so
_Result = TypeVar("_Result")


class KilledError(RayActorError):
    """Ray has killed a trial's process because its node was short of memory."""


def out_of_memory(trial: Any) -> str | None:
    """What is told of a trial of Ray Tune that ran out of memory; None if it failed otherwise."""
    error = _error(trial)
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, KilledError):
        return "out of memory: the node was short of it, and Ray ended the trial"
    if isinstance(cause, torch.OutOfMemoryError):
        return f"out of memory of the GPU: {_first_line(cause)}"
    if isinstance(cause, MemoryError):
        return f"out of memory: {_first_line(cause)}"
    return None


def death(trial: Any) -> str | None:
    """What is told of a trial whose process died; None if its own code raised something.

    Ray writes a paragraph about a death, of which nothing but its kind helps a user.
    """
    error = _error(trial)
    if not isinstance(error, RayActorError) or error.actor_init_failed:
        return None
    if "worker process has died" in str(error) and "SYSTEM_ERROR" in str(error):
        return "its process died: killed, out of memory, or crashed"
    return reason(error)


def _error(trial: Any) -> BaseException | None:
    """The error of a trial that has just failed."""
    noted = Path(trial.pickled_error_file) if trial.pickled_error_file else None
    if noted is None or not noted.is_file():
        return None
    error: BaseException = cloudpickle.loads(noted.read_bytes())
    return error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["an allocation failed"])[0].strip()


def of_one_type(function: Callable[[], _Result]) -> _Result:
    """Call a function; memory that torch could not have on a CPU is a MemoryError, as Python's.

    Raises:
        MemoryError: A tensor did not fit.
    """
    try:
        return function()
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or _OF_A_CPU not in str(error):
            raise
        raise MemoryError(_first_line(error)) from error


@contextmanager
def known_to_tune() -> Iterator[None]:
    """Make a kill for memory a failure of a trial, as any other death of its process.

    Ray 2.60 tells of it by an error that is none of an actor, which Ray Tune does not expect: it
    would end all trials with "Caught unexpected exception". There is no public place to mend that.
    """
    usual = RayActorManager._actor_task_failed

    @functools.wraps(usual)
    def known(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = KilledError(error_msg=str(exception))
        usual(self, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = known  # type: ignore[method-assign]
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = usual  # type: ignore[method-assign]
