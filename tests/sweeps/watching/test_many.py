"""To look at 1,000 trials takes work that grows with the trials, not with their square."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.ledger import Event
from sweeps.watching.now import now
from sweeps.winners.concluded import ranked

LINES = 10  # of a trial
ROUNDS = 3  # of a split


def lines(trials: int) -> Iterator[Event]:
    yield {"event": "session", "trials": trials, "concurrent": 2, "devices": 1.0}
    for number in range(trials):
        key = f"trial-{number}"
        tried = {"loss.mmd_weight": 0.01 + number / 1_000, "graph.k": 4, "model.width": 16}
        yield {"event": "start", "trial": key, "configuration": tried, "baseline": False}
        for split in range(2):
            for one in range(1, ROUNDS + 1):
                rung = split * ROUNDS + one
                yield {"event": "round", "trial": key, "rung": rung, "value": 1.0}
            yield {"event": "split", "trial": key, "split": split, "value": 1.0 + number % 7}
        yield {"event": "complete", "trial": key, "seconds": 1.0}


def begun(sweep: SweepConfig, *, trials: int) -> SweepDirectory:
    directory = SweepDirectory(sweep.directory)
    if not directory.lock.path.exists():
        with directory.held():
            directory.lock.take(sweep, fingerprint="f" * 64, begun=False)
    told = [json.dumps({"time": float(at), **line}) for at, line in enumerate(lines(trials))]
    assert len(told) == LINES * trials + 1
    directory.ledger.path.write_text("\n".join(told) + "\n")
    return directory


@contextmanager
def counted() -> Iterator[dict[str, int]]:
    """Calls of functions, in all and of those that read a line of a ledger."""
    found, before = {"all": 0, "_event": 0}, sys.getprofile()

    def call(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            found["all"] += 1
            found["_event"] += frame.f_code.co_name == "_event"

    sys.setprofile(call)
    try:
        yield found
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize(
    "look",
    [
        lambda directory, sweep: now(directory),
        lambda directory, sweep: ranked(sweep, directory.ledger),
    ],
    ids=["where it stands", "the board"],
)
def test_lines_are_read_at_most_three_times_and_ten_times_the_trials_are_ten_times_the_work(
    tiny_sweep: SweepConfig, look: Callable[[SweepDirectory, SweepConfig], object]
) -> None:
    work = []
    for trials in (100, 1_000):
        directory = begun(tiny_sweep, trials=trials)
        with counted() as calls:
            look(directory, tiny_sweep)
        assert 0 < calls["_event"] <= 3 * (LINES * trials + 1)
        work.append(calls["all"])
    assert work[1] < 15 * work[0]
