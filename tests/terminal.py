"""Commands in processes of their own: on a pseudo-terminal of 80 x 24, or in a pipe."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

COLUMNS, ROWS = 80, 24
_MARK = "SCDFM_TEST_FAMILY"  # in the environment of a command and of all that it starts
_ESCAPE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # that a command hears
# Seconds to an end, on a machine that may be busy. What goes wrong takes longer: Ray waits 30 s for
# a process that was killed, others wait for ever. `benchmarks/faults.py` measures how soon it is.
SOON = 25.0
# A step of a busy machine may outlast the 5 s after which a command gives its workers up.
_begun: set[str] = set()  # marks of commands that have not been seen to their end
_PROGRAM = "import cli.main; cli.main._SAVING = 60.0; cli.main.main()"


@contextmanager
def heard() -> Iterator[None]:
    """Have what is started in the block hear all signals; nohup and a shell's `&` ignore some."""
    ignored = [one for one in _SIGNALS if signal.getsignal(one) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, lambda *_: None)  # a handler ends with the program that sets it
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def caught(process: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal, as the kernel sees it."""
    status = Path(f"/proc/{process}/status").read_text()
    (mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(mask, 16) & 1 << (number - 1))


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    text: str  # all that came on a terminal, or on standard error
    out: str  # standard output; nothing on a terminal
    seconds: float  # from the signal, or from the start, to its end
    left: list[str]  # processes that it left behind, a moment after its end

    @property
    def lines(self) -> list[str]:
        """What stands on the screen at the end; empty lines left out."""
        return [line.rstrip() for line in Screen(self.text).lines if line.strip()]

    @property
    def said(self) -> list[str]:
        """Lines in which scdfm itself says how it ended."""
        return [line for line in self.lines if line.startswith("scdfm: ")]


class Running:
    """A command that was started and can be sent a signal."""

    def __init__(self, arguments: Sequence[object], *, cwd: Path, terminal: bool) -> None:
        self._family = uuid.uuid4().hex
        _begun.add(self._family)
        environment = {**os.environ, "TERM": "xterm", _MARK: self._family}
        environment.pop("COLUMNS", None)
        command = [sys.executable, "-c", _PROGRAM, *map(str, arguments)]
        self._text = b""
        if terminal:
            self._read, slave = pty.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            with heard():
                self._process = subprocess.Popen(
                    command, cwd=cwd, env=environment, stdin=slave, stdout=slave, stderr=slave,
                    start_new_session=True,
                )  # fmt: skip
            os.close(slave)
        else:
            with heard():
                self._process = subprocess.Popen(
                    command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                )  # fmt: skip
            assert self._process.stderr is not None
            self._read = self._process.stderr.fileno()
        self._since = time.monotonic()

    def wait_for(self, text: str, *, seconds: float = 120) -> None:
        """Wait until a text was said."""
        self._wait(lambda: text in self._text.decode(errors="replace"), seconds=seconds)

    def wait_until_ready(self, *, seconds: float = 60) -> None:
        """Wait until it would hear a signal, which is long before it does anything."""
        self._wait(lambda: all(caught(self._process.pid, one) for one in _SIGNALS), seconds=seconds)

    def wait_for_process(self, text: str, *, seconds: float = 120) -> None:
        """Wait until the command of one of its processes holds a text."""
        self._wait(lambda: any(text in one for one in _family(self._family)), seconds=seconds)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; time counts from here."""
        self._since = time.monotonic()
        self._process.send_signal(number)

    def hang_up(self) -> int:
        """Take its terminal away, as a lost connection does; gives its exit status."""
        os.close(self._read)
        self._process.send_signal(signal.SIGHUP)
        return self._process.wait(60)

    @property
    def left(self) -> list[str]:
        """What still runs of it."""
        return family(self._family)

    def end(self, *, seconds: float = 500) -> Ended:
        """Wait for its end."""
        deadline = time.monotonic() + seconds
        while self._hear(0.1):
            assert time.monotonic() < deadline, self._text.decode(errors="replace")
        status = self._process.wait(60)
        took = time.monotonic() - self._since
        out = b""
        if self._process.stdout is None:
            os.close(self._read)
        else:
            assert self._process.stderr is not None
            out = self._process.stdout.read()
            self._process.stdout.close()
            self._process.stderr.close()
        left = self.left
        if not left:
            _begun.discard(self._family)
        text = self._text.decode(errors="replace").replace("\r\n", "\n")
        return Ended(status, text, out.decode(), took, left)

    def _wait(self, reached: Callable[[], bool], *, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            assert self._hear(0.05), f"ended too early: {self._text.decode(errors='replace')}"
            assert time.monotonic() < deadline, self._text.decode(errors="replace")

    def _hear(self, seconds: float) -> bool:
        """Take in what it says; False at its end."""
        if not select.select([self._read], [], [], seconds)[0]:
            return True
        try:
            heard = os.read(self._read, 65_536)
        except OSError:  # a terminal whose last process has ended
            heard = b""
        self._text += heard
        return bool(heard)


def on_terminal(*arguments: object, cwd: Path) -> Ended:
    """Run a command on a terminal, to its end."""
    return Running(arguments, cwd=cwd, terminal=True).end()


def family(mark: str, *, patience: float = 10.0) -> list[str]:
    """What still runs of a command and of all that it started.

    Args:
        mark: Of the command.
        patience: Seconds for those that were killed to be gone.
    """
    deadline = time.monotonic() + patience
    while (found := _family(mark)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def end_begun() -> None:
    """End commands whose test has failed: what they had started slows those that follow."""
    while _begun:
        for process in _processes(_begun.pop()):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def _family(mark: str) -> list[str]:
    return list(_processes(mark).values())


def _processes(mark: str) -> dict[int, str]:
    """Commands by the number of their process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f"{_MARK}={mark}".encode() in environment:  # nothing of one that has ended
            found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


class Screen:
    """What a terminal shows after a text: enough of one for a live bar.

    Attributes:
        lines: From the top, all that was scrolled away included.
        overrun: Lines that were wider than the terminal, which had to break them.
        cursor: Whether the cursor is shown.
    """

    def __init__(self, text: str, *, columns: int = COLUMNS) -> None:
        self.lines, self.overrun, self.cursor = [""], list[str](), True
        self._row = self._column = 0
        at = 0
        for escape in _ESCAPE.finditer(text):
            self._write(text[at : escape.start()], columns)
            self._obey(escape[1], escape[2])
            at = escape.end()
        self._write(text[at:], columns)

    def _write(self, text: str, columns: int) -> None:
        for character in text:
            if character == "\r":
                self._column = 0
            elif character == "\n":
                self._row, self._column = self._row + 1, 0
                self.lines += [""] * (self._row + 1 - len(self.lines))
            else:
                line = self.lines[self._row].ljust(self._column)
                self.lines[self._row] = line[: self._column] + character + line[self._column + 1 :]
                self._column += 1
                if self._column == columns + 1:
                    self.overrun.append(self.lines[self._row])

    def _obey(self, value: str, order: str) -> None:
        if order == "A":
            self._row = max(0, self._row - int(value or 1))
        elif order == "K":
            self.lines[self._row] = "" if value == "2" else self.lines[self._row][: self._column]
        elif value == "?25":
            self.cursor = order == "h"
        else:
            assert order == "m", f"an escape that this screen does not know: {value}{order}"
