"""The numbers of a journal's line, and of its step's times, under the names that watchers show."""

import math
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from cluster.runs.history.losses import losses_of
from cluster.runs.records import Line

_GROUPS = {
    "gradient_norm": "training",
    "learning_rate": "training",
    "steps_per_second": "speed",
    "cells_per_second": "speed",
    "waiting": "speed",
    "memory": "memory",
    "gpu_memory": "memory",
}


def values_of(line: Line, *, facts: Mapping[str, float]) -> dict[str, float]:
    """Numbers by name, such as "loss/cfm", "validation/mse" and "speed/waiting".

    Args:
        line: Of the journal.
        facts: Speed and memory, by their names in times.jsonl.
    """
    values = {f"loss/{name}": value for name, value in losses_of(line).items()}
    for name, value in {**line, **facts}.items():
        if name in _GROUPS and isinstance(value, int | float):
            values[f"{_GROUPS[name]}/{name}"] = float(value)
    for name, score in (line.get("validation") or {}).items():
        values[f"validation/{name}"] = math.nan if score is None else score
    return values


def memory(device: torch.device) -> dict[str, int]:
    """Bytes that this process has now, and the most that it had of its GPU."""
    used = {"memory": _resident()}
    if device.type == "cuda":
        used["gpu_memory"] = torch.cuda.max_memory_allocated(device)
    return used


def _resident() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux: only the most so far is known
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
