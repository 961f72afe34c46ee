"""Work in another thread: one piece at a time, and what fails is raised."""

import threading
from collections.abc import Callable

import pytest

from cluster.work.background import Background


def test_a_piece_of_work_waits_for_the_last_and_the_end_for_all() -> None:
    done: list[int] = []
    gate = threading.Event()

    def first() -> None:
        gate.wait(10)
        done.append(1)

    with Background("test") as background:
        background.start(first)
        background.look()
        assert done == []
        gate.set()
        background.start(lambda: done.append(2))
        assert done[0] == 1
    assert done == [1, 2]


def fail() -> None:
    raise OSError("no room")


def both(*pieces: Callable[[], None]) -> None:
    with Background("test") as background:
        for piece in pieces:
            background.start(piece)


def test_what_fails_is_raised_at_the_end_and_at_the_next_piece() -> None:
    done: list[int] = []
    with pytest.raises(OSError, match="no room"):
        both(fail)
    with pytest.raises(OSError, match="no room"):
        both(fail, lambda: done.append(1))
    assert done == []


def test_an_error_of_the_block_comes_first() -> None:
    def block() -> None:
        with Background("test") as background:
            background.start(fail)
            raise KeyError

    with pytest.raises(KeyError):
        block()
