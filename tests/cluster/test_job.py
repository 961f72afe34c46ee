"""What a process of its own has raised reaches its caller, whatever it holds."""

import threading

from cluster.job import sendable


class LockedError(Exception):
    """Holds what cannot be pickled."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.lock = threading.Lock()


class TwofoldError(Exception):
    """Is pickled, and cannot be made again."""

    def __init__(self, line: str, *, at: int) -> None:
        super().__init__(line)
        self.at = at


def test_an_error_that_can_be_sent_is_sent_as_it_is() -> None:
    error = ValueError("no such gene")
    assert sendable(error) is error
    assert sendable(None) is None


def test_an_error_that_cannot_be_sent_is_sent_as_its_kind_and_words() -> None:
    for error in (LockedError("no room"), TwofoldError("no room", at=3)):
        assert str(sendable(error)) == f"{type(error).__name__}: no room"
