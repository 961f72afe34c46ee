"""Call a function in a process of its own, which is a job of its own in this process's Ray.

Ray frees the placement groups of a job when the job ends, and not before: the end of the actor
that made one, such as Ray Train's controller, is not enough. So training that may be cut off at
any moment, while the job around it goes on, is such a job. Its process ends with the caller's,
however that ends, and Ray then ends all that it has started.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import ray

from cluster.session import rejoined

LOOK = 1.0  # seconds between two calls of `meanwhile`


def as_job(work: Callable[[], None], *, meanwhile: Callable[[], None]) -> None:
    """Call a function there, from a worker of a Ray; it ends early if `meanwhile` raises.

    Args:
        work: What to call; pickled.
        meanwhile: Called here again and again, and once in the end.

    Raises:
        RuntimeError: Its process died.
        Exception: What the function has raised.
    """
    address = ray.get_runtime_context().gcs_address
    ours, theirs = Pipe()
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "cluster.job", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in a terminal is the driver's
            )
        try:
            ours.send((address, Path.cwd(), work))
            while not ours.poll(LOOK):
                meanwhile()
            error: Exception | None = ours.recv()
        except (EOFError, ConnectionError) as gone:
            raise RuntimeError(
                f"the process that starts workers died, status {process.wait()}"
            ) from gone
        finally:
            process.kill()
            process.wait()
    meanwhile()
    if error is not None:
        raise error


def main() -> None:
    """Be that process; the descriptor of its end of the pipe is the only argument."""
    there = Connection(int(sys.argv[1]))
    address, home, work = there.recv()
    threading.Thread(target=_end_with_caller, args=(there,), daemon=True).start()
    os.chdir(home)
    error: Exception | None = None
    with rejoined(address):
        try:
            work()
        except Exception as raised:  # noqa: BLE001 - the caller raises it
            error = raised
    there.send(sendable(error))


def sendable(error: Exception | None) -> Exception | None:
    """The error, or one of its kind and words where it cannot be sent to another process."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    # What it holds decides what pickle raises: a lock, an argument that is missed.
    except Exception:  # noqa: BLE001
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _end_with_caller(there: Connection) -> None:
    """Wait for the end of the pipe, which nobody writes to any more."""
    try:
        there.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


if __name__ == "__main__":
    main()
