"""Where a sweep stands, from its files alone."""

import time
from pathlib import Path
from typing import Any

import pytest

from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.results import Chosen, chosen, write_choice
from sweeps.watching.now import now
from sweeps.winners.records import final

TRIED = {"loss.mmd_weight": 0.5, "graph.k": 4, "model.width": 16}


@pytest.fixture
def directory(tiny_sweep: SweepConfig) -> SweepDirectory:
    """A sweep of which four trials have begun and three have ended."""
    directory = SweepDirectory(tiny_sweep.directory)
    with directory.held():
        directory.lock.take(tiny_sweep, fingerprint="f" * 64, begun=False)
    write(directory, {"event": "session", "trials": 6, "concurrent": 2, "devices": 3.0})
    for key, values in (("base", (3.0, 5.0)), ("good", (1.0, 2.0)), ("bad", ()), ("now", ())):
        width = {"base": 16, "good": 8, "bad": 12, "now": 10}[key]
        configuration = {**TRIED, "model.width": width}
        start = {"event": "start", "trial": key, "configuration": configuration}
        write(directory, {**start, "baseline": key == "base"})
        for split, value in enumerate(values):
            write(directory, {"event": "split", "trial": key, "split": split, "value": value})
        if values:
            write(directory, {"event": "complete", "trial": key, "seconds": 600.0})
    write(directory, {"event": "failed", "trial": "bad", "seconds": 600.0, "error": "DiskError"})
    write(directory, {"event": "round", "trial": "now", "rung": 1, "value": 4.0})
    return directory


def write(directory: SweepDirectory, event: Any) -> None:
    directory.ledger.write(event)


def test_a_sweep_that_runs_tells_trials_best_cost_and_time_left(directory: SweepDirectory) -> None:
    with directory.held():
        found = now(directory)
    assert (found.state, found.over, found.trials) == ("running", 3, 6)
    assert found.states == {"complete": 2, "failed": 1, "running": 1}
    assert [(one.trial, one.value) for one in found.running] == [(4, 4.0)]
    assert [tuple(one) for one in found.failed] == [(3, "DiskError")]
    assert found.best is not None
    assert (found.best.trial, found.best.value, found.best.base) == (2, 1.5, 4.0)
    assert "trial 2 and the base tie" in found.best.said
    assert found.device_hours == pytest.approx(3 * 1800 / 3600)
    # Three trials of 600 s are left, two at a time.
    assert found.left == pytest.approx(900, abs=60)


def test_a_sweep_that_nobody_works_on_is_stopped_until_it_has_ended(
    directory: SweepDirectory,
) -> None:
    found = now(directory)
    assert (found.state, found.running, found.left) == ("stopped", (), None)
    assert found.states["open"] == 1
    write(directory, {"event": "complete", "trial": "now", "seconds": 1.0})
    write_choice(Chosen(trial=2, choice="trial 2 is better"), directory)
    directory.ledger.close()
    directory.ledger.close()
    assert [one["event"] for one in directory.ledger.events()].count("done") == 1
    ended = now(directory)
    assert (ended.state, ended.best and ended.best.said) == ("done", "trial 2 is better")
    assert ended.hours == pytest.approx(found.hours, abs=0.02)
    write(directory, {"event": "extend", "trials": 9, "of": 6, "begun": 4})
    assert (now(directory).state, now(directory).trials) == ("stopped", 9)


def test_time_between_sessions_is_no_cost(directory: SweepDirectory) -> None:
    before = now(directory).hours
    write(directory, {"event": "done", "time": time.time() + 7200})
    write(directory, {"event": "session", "time": time.time() + 9000, "trials": 9})
    assert now(directory).hours == pytest.approx(before, abs=0.02)


def test_what_is_no_sweep_yet_is_said(tiny_sweep: SweepConfig) -> None:
    with pytest.raises(FileNotFoundError, match="found none that has begun"):
        now(SweepDirectory(tiny_sweep.directory))


@pytest.mark.parametrize("content", [b"", b"\xff", b'{"trial": 1}'])
def test_a_damaged_choice_or_test_score_is_named(tmp_path: Path, content: bytes) -> None:
    directory = SweepDirectory(tmp_path)
    for file, read in ((directory.choice, chosen), (directory.final, final)):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{file.name} is damaged"):
            read(directory)
