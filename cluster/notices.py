"""What a worker is told from outside: a signal to its process, or that its node goes away."""

import signal
import threading
from types import FrameType

from ray.train.v2._internal.execution.context import get_train_context

# Of this process; a handler has no other place to leave word.
_told = threading.Event()


def listen() -> None:
    """Take SIGTERM and SIGINT as a wish to leave at the end of a step; in a worker's main thread.

    Ray's own handler ends the process at once, with what the step has learnt.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _on_signal)


def _on_signal(number: int, frame: FrameType | None) -> None:
    if _told.is_set():
        raise SystemExit(128 + number)  # the second: at once
    _told.set()


def told_to_end() -> bool:
    """Whether this process has had a signal."""
    return _told.is_set()


def node_goes_away() -> bool:
    """Whether Ray has told of the preemption of a node that one of the workers is on.

    Ray Train marks every worker. Its public `get_preemption_info` asks all workers over the network
    at each call, which a step is too short for; ours agree with their losses.
    """
    return get_train_context().preemption_context.preemption_info is not None
