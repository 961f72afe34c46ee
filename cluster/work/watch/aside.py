"""A watcher in a thread of its own: it may be slow, hang or fail, and training goes on."""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from cluster.watchers.watcher import Curves, End

_MOST = 10_000  # lines that may wait
_LONGEST = 200  # characters of a fault


class _Values(NamedTuple):
    step: int
    values: Mapping[str, float]
    when: float


class Aside:
    """Passes values on to one watcher.

    Args:
        name: Of the watcher.
        begin: Opens it.
    """

    def __init__(self, name: str, begin: Callable[[], Curves]) -> None:
        self._name, self._begin = name, begin
        self._waiting: queue.Queue[_Values | End] = queue.Queue(_MOST)
        self._fault: str | None = None
        self._told = False
        # A daemon: at the end of the process nobody waits for a server that does not answer.
        self._thread = threading.Thread(target=self._work, name=f"watch-{name}", daemon=True)
        self._thread.start()

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Show values, some time."""
        self._put(_Values(step, values, when=time.time()))

    def close(self, end: End, *, patience: float) -> None:
        """Show what is left; wait at most so many seconds."""
        self._put(end)
        self._thread.join(timeout=patience)
        if self._thread.is_alive():
            self._fault = self._fault or f"it had not taken all values {patience:g} s after the end"

    def fault(self) -> str | None:
        """What went wrong, in a line; only once."""
        if self._fault is None or self._told:
            return None
        self._told = True
        return f"watch.{self._name} shows no more of this session: {self._fault}; training goes on"

    def _put(self, what: _Values | End) -> None:
        if self._fault is not None:
            return
        try:
            self._waiting.put_nowait(what)
        except queue.Full:
            self._fault = f"it has not answered for {_MOST} lines"

    def _work(self) -> None:
        curves: Curves | None = None
        try:
            curves = self._begin()
            while self._fault is None:
                what = self._waiting.get()
                if not isinstance(what, _Values):
                    curves.close(what)
                    return
                curves.add(what.step, what.values, when=what.when)
        # A client may fail in any way, also by leaving the process as it thinks.
        except BaseException as error:  # noqa: BLE001
            self._fault = _in_a_line(error)
            with suppress(BaseException):
                if curves is not None:
                    curves.close("failed")


def _in_a_line(error: BaseException) -> str:
    said = " ".join(str(error).split())[:_LONGEST]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
