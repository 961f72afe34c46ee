"""Calling a command as the console script does, in this process."""

from collections.abc import Callable
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
