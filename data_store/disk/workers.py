"""Threads that share the work of one process; the main thread gets results in order.

The heavy work here (compression, hashing, numpy on large arrays) releases the interpreter's lock,
so threads are enough: nothing is copied between processes and nothing is forked.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


BYTES = 200_000_000  # of memory that a worker of an ingest takes: a bucket, some times over


def affordable(workers: int, *, memory: int) -> int:
    """The number of workers that fit into the memory, at least one."""
    room = max(1, min(workers, memory // BYTES))
    if room < workers:
        log.info("workers: %d of %d, more would not fit into --memory", room, workers)
    return room


class Workers:
    """Some threads; a single worker is the caller itself, without a thread."""

    def __init__(self, count: int = 1) -> None:
        self._count = count
        self._pool = ThreadPoolExecutor(count) if count > 1 else None
        self._begun: deque[Future[Any]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def in_order(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        """The results of a function, in the order of the items.

        At most one item more than there are workers is being worked on or waits.
        """
        if self._pool is None:
            yield from map(function, items)
            return
        ahead: deque[Future[Result]] = deque()
        for item in items:
            ahead.append(self._pool.submit(function, item))
            if len(ahead) > self._count:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

    def begin(self, task: Callable[[], object]) -> None:
        """Start a task; its error is raised by a later `begin` or by `wait`."""
        if self._pool is None:
            task()
            return
        self._begun.append(self._pool.submit(task))
        if len(self._begun) > self._count:  # what waits, waits in memory
            self._begun.popleft().result()

    def wait(self) -> None:
        """Return when every task that was begun is done."""
        while self._begun:
            self._begun.popleft().result()
