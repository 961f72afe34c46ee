"""Shares work out to Ray actors, and gives a piece again whose process or node was lost.

Ray starts a lost actor again, however often. What is counted is how often each piece was lost: work
of days outlives any number of nodes, and a piece that ends every process is given up. A lost piece
goes to whoever is free next, and who finds nothing left gives its room back, for a node may be gone
for good.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

import ray
from ray.exceptions import OutOfMemoryError, RayActorError

from cluster.nodes.losses import reason
from cluster.nodes.waiting import is_alive, is_dead

log = logging.getLogger(__name__)

LOSSES = 5  # of a piece, after which it is given once more
FIRST_PAUSE = 2.0  # seconds after a loss, twice as long each time: a cluster may need half a minute
_LONGEST_PAUSE = 30.0  # to know that a node is gone
_LOOK = 1.0  # seconds between two looks at what is waited for

Piece = TypeVar("Piece")


class Done(NamedTuple, Generic[Piece]):
    """A piece of the work, and what an actor has answered."""

    piece: Piece
    answer: Any


class Team(Generic[Piece]):
    """Actors that share work.

    Args:
        kind: A remote class, which says what one takes of a node.
        arguments: For each actor.
        ask: Calls an actor for a piece.
        called: A piece in words, such as "shard 7".

    Attributes:
        actors: Those that have work, or will have.
    """

    def __init__(
        self,
        kind: Any,
        arguments: Iterable[tuple[Any, ...]],
        *,
        ask: Callable[[Any, Piece], Any],
        called: Callable[[Piece], str],
    ) -> None:
        lasting = kind.options(max_restarts=-1, max_task_retries=0)
        self.actors = [lasting.remote(*some) for some in arguments]
        self._ask, self._called = ask, called
        self._losses: Counter[Piece] = Counter()
        self._resting: list[tuple[float, Any]] = []  # until when, of those that were lost

    def work(self, pieces: Iterable[Piece]) -> Iterator[Done[Piece] | None]:
        """Have all pieces done, one at a time by each actor.

        Yields:
            What is done; None where nothing was, about every second.

        Raises:
            RuntimeError: A piece was lost too often; whatever an actor raises.
        """
        left, free = deque(pieces), list(self.actors)
        busy: dict[Any, tuple[Any, Piece]] = {}
        while left or busy:
            free += self._rested()
            while left and free:
                actor, piece = free.pop(0), left.popleft()
                busy[self._ask(actor, piece)] = (actor, piece)
            if not left:
                self._let_go([*free, *(actor for _, actor in self._resting)])
                free, self._resting = [], []
            ready: list[Any] = []
            if busy:
                ready, _ = ray.wait(list(busy), num_returns=1, timeout=_LOOK)
            else:
                time.sleep(_LOOK)
            if not ready:
                yield None
            for one in ready:
                actor, piece = busy.pop(one)
                try:
                    done = Done(piece, ray.get(one))
                except (RayActorError, OutOfMemoryError) as error:
                    left.appendleft(piece)
                    self._resting.append((self._lost(piece, error), actor))
                    continue
                free.append(actor)
                yield done
        self._let_go(list(self.actors))

    @property
    def waits(self) -> bool:
        """Whether none of them runs."""
        return not any(map(is_alive, self.actors))

    def _rested(self) -> list[Any]:
        """Those of the lost that may be asked again, also those that only can say why not."""
        now = time.monotonic()
        back = [
            actor
            for until, actor in self._resting
            if now >= until and (is_alive(actor) or is_dead(actor))
        ]
        self._resting = [one for one in self._resting if one[1] not in back]
        return back

    def _let_go(self, actors: Iterable[Any]) -> None:
        for actor in actors:
            self.actors.remove(actor)
            with suppress(RayActorError):
                ray.kill(actor)

    def _lost(self, piece: Piece, error: Exception) -> float:
        """Note that a piece was lost; until when its actor rests."""
        if getattr(error, "actor_init_failed", False):
            raise error
        self._losses[piece] += 1
        times = self._losses[piece]
        if times > LOSSES:
            raise RuntimeError(
                f"{self._called(piece)} was given up after it was lost {times} times "
                f"({reason(error)}); run the command again to go on"
            ) from error
        log.warning(
            f"{self._called(piece)} was lost ({reason(error)}); it is given again, "
            f"{times} of {LOSSES} times"
        )
        return time.monotonic() + min(FIRST_PAUSE * 2.0 ** (times - 1), _LONGEST_PAUSE)
