"""Work that another thread does while training goes on: one piece at a time."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self


class Background:
    """A thread for one piece of work at a time; what fails there is raised here."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._last: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the last piece; its error is raised unless there is another one."""
        try:
            if error is None:
                self.wait()
        finally:
            self._pool.shutdown()

    def start(self, work: Callable[[], None]) -> None:
        """Begin a piece of work, after the last one is done."""
        self.wait()
        self._last = self._pool.submit(work)

    def wait(self) -> None:
        """Wait for the last piece of work, and raise what went wrong there."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def look(self) -> None:
        """Raise what went wrong, if the last piece of work is done."""
        if self._last is not None and self._last.done():
            self.wait()
