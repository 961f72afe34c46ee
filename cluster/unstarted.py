"""Why a local Ray did not start: what Ray says, and what this machine lacks."""

import os
import shutil
from pathlib import Path

from ray._common.utils import get_system_memory
from ray._private.utils import get_used_memory

from cluster.processes import command, descendants, kill

_MB = 2**20
_MEMORY = 512 * _MB  # that Ray's own processes take at least
_DISK = 100 * _MB  # for its logs and sockets
_BUSY = 2.0  # processes that want to run, for each core: then Ray's 30 s may be too short
_LONGEST = 200  # characters of what Ray says


def first_line(error: BaseException) -> str:
    """What an error of Ray says, without its story."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    return said.partition(". ")[0].rstrip(".")[:_LONGEST]


def lack(folder: Path) -> str:
    """What this machine lacks to start Ray with files in a folder, and what to do; in one line."""
    disk = shutil.disk_usage(folder).free
    if disk < _DISK:
        where = folder.parent
        return f"{where} has {disk / _MB:.0f} MB free; free some, or set TMPDIR to another disk"
    memory = int(get_system_memory()) - int(get_used_memory())  # type: ignore[no-untyped-call]
    if memory < _MEMORY:
        return f"{memory / _MB:.0f} MB of memory are free; end other work here"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0]
    if load > _BUSY * (cores or 1):
        return (
            f"this machine is busy, with {load:.0f} processes at work on {cores} cores; wait or "
            "end other work here, and run the command again"
        )
    return "run the command again; scdfm doctor looks for what this machine lacks"


def clear_away(folder: Path) -> None:
    """Kill the processes below this one that Ray has started for a folder; it leaves them running.

    Each is told the folder on its command line, or was started by one that is. What other threads
    of a notebook have started meanwhile goes on.
    """
    for _ in range(3):  # one may be about to start another
        own = {process for process in descendants() if str(folder) in command(process)}
        kill(own.union(*map(descendants, own)))
