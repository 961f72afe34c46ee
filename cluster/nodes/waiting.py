"""Speaks of what is waited for, and knows when the wait has been too long.

Looked at from the driver, every second, in a thread: who has room, which node died when.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import ray
from ray._private.state import actors, available_resources_per_node
from ray.exceptions import RayError

from cluster.session import amounts, counted, pieces_on, ray_nodes

log = logging.getLogger(__name__)

EVERY = 10.0  # seconds between two lines
_LOOK = 1.0  # seconds between two looks


class Waiting:
    """Watches the nodes while work waits or runs on them.

    Args:
        what: A piece of the work, such as "worker".
        pieces: That wait for room at once.
        cpus: Cores of one.
        gpus: GPUs of one.
        together: None starts before all have room.
        timeout: Seconds to wait, at most; None: somebody else ends the wait.
        waits: Whether the work waits for room now.
    """

    def __init__(
        self,
        what: str,
        *,
        pieces: int,
        cpus: float,
        gpus: float = 0,
        together: bool = False,
        timeout: float | None = None,
        waits: Callable[[], bool],
    ) -> None:
        self._what, self._pieces, self._cpus, self._gpus = what, pieces, cpus, gpus
        self._least = pieces if together else 1  # that can start
        self._timeout, self._waits = timeout, waits
        self._since: float | None = None
        self._spoke = 0.0
        self._alive: dict[str, str] = {}  # names of nodes by id
        self._died: dict[str, float] = {}  # when nodes died, by name
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="waiting", daemon=True)
        self.expired = False

    def __enter__(self) -> "Waiting":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join(timeout=2 * _LOOK)  # a head that is gone may keep it

    @property
    def line(self) -> str:
        """What is waited for, and what there is."""
        pieces = counted(self._pieces, self._what)
        if self._has_room():
            return f"waiting for {pieces} to start; there is room, and a process takes some seconds"
        total, free = (self._resources(which) for which in ("cluster", "available"))
        whose = "the cluster" if len(ray_nodes()) > 1 else "this machine"
        have = f"{whose} has {amounts(total[0], total[1] if self._gpus else 0)}"
        left = f"{free[0]:g}" + (f" and {free[1]:g}" if self._gpus else "")
        room = sum(
            pieces_on(node["Resources"], cpus=self._cpus, gpus=self._gpus)
            for node in ray_nodes()
            if node["Alive"]
        )
        nodes = "".join(
            f"; node {name} died {time.monotonic() - when:.0f} s ago"
            for name, when in self._died.items()
        )
        return (
            f"waiting for {pieces} x {amounts(self._cpus, self._gpus)}; "
            f"{have} ({left} free){self._why(room)}{nodes}"
        )

    def _why(self, room: int) -> str:
        """Why there is no room: for so many pieces there would be, if all nodes were empty."""
        if room < self._pieces:
            return f", with room for {room} if all were free"
        return ": work that runs, or starts, holds the rest"

    def _has_room(self) -> bool:
        """Whether living nodes have room for the next pieces now: then processes start."""
        free = available_resources_per_node().values()  # type: ignore[no-untyped-call]
        room = sum(pieces_on(node, cpus=self._cpus, gpus=self._gpus) for node in free)
        return room >= self._least

    def _resources(self, which: str) -> tuple[float, float]:
        found: dict[str, float] = getattr(ray, f"{which}_resources")()
        return found.get("CPU", 0), found.get("GPU", 0)

    def _watch(self) -> None:
        while not self._over.wait(_LOOK):
            try:
                self._look()
            except (RayError, RuntimeError, ConnectionError):  # the session ends, or the head died
                continue

    def _look(self) -> None:
        for node in ray_nodes():
            name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            key = node["NodeID"]
            if node["Alive"]:
                self._alive[key] = name
            elif self._alive.pop(key, None) is not None:
                self._died[name] = time.monotonic()
                log.warning(f"node {name} died")
        if not self._waits():
            self._since = None
            return
        now = time.monotonic()
        if self._since is None:
            self._since = self._spoke = now
        if now - self._spoke >= EVERY:
            self._spoke = now
            log.info(self.line)
        if self._timeout is not None and now - self._since > self._timeout:
            self.expired = True


def is_alive(actor: Any) -> bool:
    """Whether an actor runs, rather than waiting for room or for its process."""
    return _state(actor) == "ALIVE"


def is_dead(actor: Any) -> bool:
    """Whether an actor has ended and is not started again."""
    return _state(actor) == "DEAD"


def _state(actor: Any) -> str | None:
    found: str | None = actors(actor_id=actor._actor_id.hex()).get("State")
    return found
