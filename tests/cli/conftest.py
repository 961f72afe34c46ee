"""Calling a command as the console script does, in this process."""

import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from cli.main import run


class Called(NamedTuple):
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what went wrong."""
        lines = [line for line in self.err.splitlines() if line.startswith("scdfm: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


Call = Callable[..., Called]


@pytest.fixture
def scdfm(capsys: pytest.CaptureFixture[str]) -> Call:
    """Call a command with its arguments, such as `inspect` and a path."""

    def call(*arguments: object) -> Called:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Called(status, out, err)

    return call


@pytest.fixture
def printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], threading.Event]:
    """Gives an event for a text: that it is printed on standard output from now on."""

    def soon(wanted: str) -> threading.Event:
        event, write = threading.Event(), sys.stdout.write

        def written(text: str) -> int:
            size = write(text)
            if wanted in text:
                event.set()
            return size

        monkeypatch.setattr(sys.stdout, "write", written)
        return event

    return soon


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary directory of the command's own; its path is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
