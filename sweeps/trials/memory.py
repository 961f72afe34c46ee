"""Trials that ran out of memory, known by the type of their error.

There are three: MemoryError of Python, and of torch's allocator on a CPU; torch's OutOfMemoryError
of a GPU; Ray's OutOfMemoryError, by which it tells that a node was short of memory and a worker
was killed. What the kernel kills is a worker that died, as any other.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from ray.exceptions import RayTaskError

from sweeps.trials.deaths import KilledError, error_of

LIMIT = "memory"  # the constraint that Optuna is told is violated
_OF_A_CPU = "can't allocate memory"  # torch's allocator raises a RuntimeError that says so
_Result = TypeVar("_Result")


def out_of_memory(trial: Any) -> str | None:
    """What is told of a trial of Ray Tune that ran out of memory; None if it failed otherwise."""
    error = error_of(trial)
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, KilledError):
        return "out of memory: the node was short of it, and Ray ended the trial"
    if isinstance(cause, torch.OutOfMemoryError):
        return f"out of memory of the GPU: {_first_line(cause)}"
    if isinstance(cause, MemoryError):
        return f"out of memory: {_first_line(cause)}"
    return None


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
