"""A full disk ends the session: only a person can make room, and later trials would meet it."""

import logging
import re
from typing import Any

from ray.exceptions import RayTaskError
from ray.tune import Callback

from cluster.nodes.limits import hopeless
from sweeps.trials.deaths import error_of

log = logging.getLogger(__name__)

# Ray tells the node in its words alone, once it has made the error one of the cause's kind.
_NODE = re.compile(r"\(pid=\d+, ip=([^,)\s]+)")


class Room(Callback):
    """Looks at why a trial failed, before anything is written of that: the trial stays open."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as an empty callback in Ray Tune's own files."""
        return Callback, ()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed and would be tried again."""
        require_room(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed."""
        require_room(trial)


def require_room(trial: Any) -> None:
    """Raise what a trial has failed with if only a person can mend it, and say on which node.

    Raises:
        OSError: A full disk or quota, or a name that is too long.
    """
    error = error_of(trial)
    cause = error.cause if isinstance(error, RayTaskError) else error
    if hopeless(cause):
        node = _NODE.search(str(error))
        where = "" if node is None else f" on node {node[1]}"
        log.warning("a trial%s met an error that a restart would meet again", where)
        raise cause
