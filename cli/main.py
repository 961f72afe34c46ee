"""The console script `scdfm`: the command runs in a thread, the main thread waits for signals.

Ray, Ray Train and Ray Tune replace our signal handlers by their own, and an exception that a
handler raises can be lost in one of their callbacks. Only the main thread can have handlers, so the
command runs in another thread. Nothing heavy is imported here, so that signals are handled from the
start.
"""

import ctypes
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Literal, NoReturn

from cluster.processes import kill_descendants

_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}
_SAVING = 5.0  # seconds for a step to end, so that its state can be kept
_PATIENCE = 2.0  # seconds for the command to close its files, with Ray and then without
_HURRY = 1.0  # the same, when the step did not end
_TICK = 0.05  # seconds between two looks for a signal
_RESET = 0x80000000  # SA_RESETHAND
_SHOW_CURSOR = "\x1b[?25h"


def run(arguments: Sequence[str]) -> int:
    """Run a command in this thread and give its exit status."""
    from cli.app import run

    return run(arguments)


def main() -> None:
    """The console entry."""
    if not sys.warnoptions:
        import warnings

        # Warnings are for the developers of our libraries; ours would be errors of their own.
        # Ray's workers read the variable.
        warnings.simplefilter("ignore")
        os.environ.setdefault("PYTHONWARNINGS", "ignore")
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is not a reason to fail.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.exit(Command(sys.argv[1:]).run())


class Command:
    """One command in a thread of its own."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = arguments
        self._signal: signal.Signals | None = None
        self._lost = True  # the interrupt is still to be raised
        self._status = 1
        self._error: BaseException | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="command", daemon=True)
        self._stderr = sys.stderr
        self._patience = _PATIENCE
        self._remedy = "run the command again to go on"

    def run(self) -> int:
        """Run it to its end or to the first signal; gives its exit status."""
        # Who starts a command with nohup or in the background has the signal ignored.
        heard = [one for one in _WORDS if signal.getsignal(one) is not signal.SIG_IGN]
        _listen(heard, self._on_signal)
        # Looking for the temporary directory writes a file there. In the command's thread a signal
        # could come between that and its removal; here no exception can.
        tempfile.gettempdir()
        self._thread.start()
        over = False
        while not over:
            over = self._over.wait(_TICK)
            # Ray's C++ takes SIGTERM for itself when a driver connects, from any thread.
            _listen(heard, self._on_signal)
            if self._signal is not None:
                self._stop()
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._status

    def _work(self) -> None:
        try:
            from cli.app import run

            self._status = run(self._arguments, stopping=lambda: self._signal is not None)
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self._error = error
        finally:
            self._over.set()
        while self._signal is not None:
            # Linux kills a process when the thread that started it ends; Ray's would die before
            # theirs, which then were nobody's. The main thread ends them all, and this one.
            with suppress(KeyboardInterrupt):
                time.sleep(_PATIENCE)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        _listen([signal.Signals(number)], self._on_signal)
        if self._signal is not None or self._over.is_set():
            self._leave(signal.Signals(number))  # the second, or the work is over
        self._signal = signal.Signals(number)

    def _stop(self) -> NoReturn:
        """Let the command close what it has open, then leave."""
        assert self._signal is not None
        self._hush()
        self._look()
        self._save()
        _tell_session("give_up")
        # While Ray starts, it waits in C++ for processes that must not be killed meanwhile; when
        # it runs, a command may wait for what never answers until they are.
        self._wait(self._patience)
        _tell_session("abandon")
        self._wait(self._patience)
        self._leave(self._signal)

    def _hush(self) -> None:
        """Say nothing of what breaks now: it breaks because of the signal."""
        import logging

        logging.disable(logging.CRITICAL)
        threading.excepthook = lambda _: None
        sys.unraisablehook = self._on_lost

    def _look(self) -> None:
        """Find out whether the command only looks at work, which then goes on."""
        # The module may be half loaded.
        goes_on = getattr(sys.modules.get("cli.show.following"), "goes_on", lambda: None)
        self._remedy = goes_on() or self._remedy

    def _save(self) -> None:
        """Have training workers keep their last step, if there are any."""
        stop = sys.modules.get("cluster.runs.stop")
        kept = stop.ask_to_stop(patience=_SAVING) if stop is not None else None
        if kept is None:
            return
        if not kept.answered:
            self._patience = _HURRY
        if kept.what is not None:
            late = f"a step outlasts {_SAVING:g} s, {kept.what}; run again to go on"
            self._remedy = f"{kept.what}; {self._remedy}" if kept.answered else late

    def _wait(self, seconds: float) -> None:
        """Give the command time to close its files."""
        deadline = time.monotonic() + seconds
        while not self._over.is_set() and time.monotonic() < deadline:
            if self._lost:
                self._lost = False
                _interrupt(self._thread)
            self._over.wait(_TICK)

    def _on_lost(self, lost: "sys.UnraisableHookArgs") -> None:
        """Raise the interrupt again if a callback, such as a lock's, has swallowed it."""
        self._lost = self._lost or lost.exc_type is KeyboardInterrupt

    def _leave(self, number: signal.Signals) -> NoReturn:
        """End this process and all that it started; print one line."""
        try:
            self._hush()
            _tell_session("give_up")
            # Ray may wait for a process of its own that is killed now, for half a minute and with
            # the interpreter's lock held; the interrupt comes before it can begin to.
            _interrupt(self._thread)
            if not _tell_session("abandon"):
                kill_descendants()  # such as one that measures steps
            # While a live bar is drawn it stands in for sys.stderr and hides the cursor.
            bar = _SHOW_CURSOR + "\n" if sys.stderr is not self._stderr else ""
            self._stderr.write(f"{bar}scdfm: {_WORDS[number]}; {self._remedy}\n")
            for stream in (sys.stdout, self._stderr):
                stream.flush()
        finally:  # the terminal may be gone, as after a lost connection
            _tell_session("bury")
            os._exit(128 + number)


def _listen(
    numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], None]
) -> None:
    for number in numbers:
        signal.signal(number, handler)
        _end_by_the_next(number)


def _end_by_the_next(number: signal.Signals) -> None:
    """Have the kernel end this process by the next signal but one, unless Python hears the next.

    A library that never comes back and lets no Python code run meanwhile, as HDF5 on some damaged
    files, could not be interrupted otherwise: nobody would hear the second signal either.
    """
    if not sys.platform.startswith("linux"):
        return  # the layout below is that of Linux
    action, library = _Action(), ctypes.CDLL(None)
    if library.sigaction(number, None, ctypes.byref(action)) == 0:
        action.flags |= _RESET
        library.sigaction(number, ctypes.byref(action), None)


class _Action(ctypes.Structure):
    """C's struct sigaction on Linux."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_uint),
        ("restorer", ctypes.c_void_p),
    )


def _interrupt(thread: threading.Thread) -> None:
    """Raise KeyboardInterrupt in a thread, as soon as it runs Python code again."""
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt)
    )


def _tell_session(what: Literal["give_up", "abandon", "bury"]) -> bool:
    """Call a function of `cluster.session` if it is loaded already: loading Ray takes seconds."""
    session = sys.modules.get("cluster.session")
    act: Callable[[], None] | None = getattr(session, what, None)
    if act is None:
        return False
    act()
    return True


if __name__ == "__main__":
    main()
