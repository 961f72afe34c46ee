"""The processes that this one started, and those that they started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def descendants(root: int | None = None) -> set[int]:
    """Ids of all processes below one.

    Args:
        root: Its id; default this process.
    """
    parents = _parents()
    found: set[int] = set()
    level = {root or os.getpid()}
    while level:
        level = {child for child, parent in parents.items() if parent in level} - found
        found |= level
    return found


def kill_descendants(*, but: str = "", patience: float = 2.0) -> set[int]:
    """Kill every process below this one, and those that they start meanwhile.

    Args:
        but: Name of a program that is halted, not killed: who is connected to it notices nothing.
        patience: Seconds to wait for their end; one that waits for a disk cannot end sooner.

    Returns:
        Ids of the halted processes; kill them with `kill`.
    """
    halted: set[int] = set()
    killed: set[int] = set()
    deadline = time.monotonic() + patience
    # A process that is dying passes its children on, and then is not below this one any more.
    while left := (descendants() | (killed & _parents().keys())) - halted:
        if time.monotonic() > deadline:
            break
        spared = {process for process in left if but and _name(process) == but}
        kill(spared, signal.SIGSTOP)
        kill(left - spared)
        halted |= spared
        killed |= left - spared
        time.sleep(0.02)
        _reap(killed)
    return halted


def kill(processes: Iterable[int], number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to processes; those that have ended do not mind."""
    for process in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)


def command(process: int) -> str:
    """The command line of a process; empty for one that has ended."""
    if sys.platform == "linux":
        try:
            line = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            return ""
        return line.replace(b"\0", b" ").decode(errors="replace")
    asked = ["ps", "-p", str(process), "-o", "command="]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout


def _reap(processes: set[int]) -> None:
    """Release our own children that have ended."""
    for process in processes:
        with suppress(ChildProcessError):
            os.waitpid(process, os.WNOHANG)


def _parents() -> dict[int, int]:
    """The parent of every process that has not ended."""
    if sys.platform == "linux":
        return dict(filter(None, map(_read, Path("/proc").glob("[0-9]*/stat"))))
    table = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,state="], capture_output=True, text=True, check=True
    )
    rows = (line.split() for line in table.stdout.splitlines())
    return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}


def _name(process: int) -> str:
    """The program that a process runs; empty for one that has ended."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{process}/comm").read_text().strip()
        except OSError:
            return ""
    command = ["ps", "-p", str(process), "-o", "comm="]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return Path(found.stdout.strip()).name


def _read(path: Path) -> tuple[int, int] | None:
    """Id and parent from a file of /proc; none for a process that has ended."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return None
    # The name, in brackets, may hold spaces and brackets.
    state, parent = text[text.rindex(")") + 1 :].split()[:2]
    return None if state == "Z" else (int(path.parent.name), int(parent))
