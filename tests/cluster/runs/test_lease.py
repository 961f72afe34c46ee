"""Facts of the lease: one writer at a time."""

import fcntl
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest

from cluster.runs.lease import FILE, LeaseLostError, check, lease

HOLD = """
import sys, time
from pathlib import Path
from cluster.runs.lease import lease
with lease(Path(sys.argv[1])):
    print('held', flush=True)
    time.sleep(300)
"""


def test_a_second_writer_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    refusal = pytest.raises(
        ValueError, match=r"is being written by .+@.* \(process \d+\), since 20"
    )
    with lease(tmp_path), refusal, lease(tmp_path):
        pass


def test_a_lease_can_be_taken_again_after_it_ended(tmp_path: Path) -> None:
    with lease(tmp_path) as first:
        check(tmp_path, first)
    with lease(tmp_path) as second:
        check(tmp_path, second)
        with pytest.raises(LeaseLostError, match="was taken over"):
            check(tmp_path, first)


def test_a_lease_is_taken_where_its_last_holder_has_just_removed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, lock, left = tmp_path / "runs" / "new", fcntl.flock, [1]

    def late(file: TextIO, operation: int) -> None:
        if left and left.pop():  # it fails and goes, after the next one has opened its file
            (directory / FILE).unlink()
            directory.rmdir()
        lock(file, operation)

    monkeypatch.setattr("cluster.runs.lease.fcntl.flock", late)
    with lease(directory) as token:
        check(directory, token)


def test_a_killed_process_leaves_no_lease_behind(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match="is being written"), lease(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with lease(tmp_path) as token:
        check(tmp_path, token)


def test_a_refusal_leaves_nothing_that_was_not_there(tmp_path: Path) -> None:
    for there, name in ((False, "runs/new"), (True, "begun")):
        directory = tmp_path / name
        if there:
            (directory / "model").mkdir(parents=True)
        with pytest.raises(ValueError, match="no such gene"), lease(directory):
            raise ValueError("no such gene")
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


def test_a_failure_keeps_what_was_written(tmp_path: Path) -> None:
    def fail() -> None:
        (tmp_path / "work" / "journal").touch()
        raise ValueError("late")

    with pytest.raises(ValueError, match="late"), lease(tmp_path / "work"):
        fail()
    assert (tmp_path / "work" / "journal").exists()
