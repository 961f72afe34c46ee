"""Why Ray did not start is one line, with what to do."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from cluster import unstarted
from cluster.processes import _parents, descendants
from cluster.unstarted import clear_away, first_line, lack
from tests.cluster.test_processes import FATHER, SLEEP


def test_what_ray_tells_as_a_story_is_told_by_its_first_sentence() -> None:
    told = Exception("The current node timed out during startup. This could happen because ...")
    assert first_line(told) == "The current node timed out during startup"
    assert first_line(RuntimeError("\nFailed to start GCS. \nLast 2 lines:\n")) == (
        "Failed to start GCS"
    )
    assert first_line(TimeoutError()) == "TimeoutError"


@pytest.mark.parametrize(
    ("disk", "memory", "load", "said"),
    [
        (99, 511, 1e3, r".* has 99 MB free; free some, or set TMPDIR to another disk"),
        (100, 511, 1e3, r"511 MB of memory are free; end other work here"),
        (100, 512, 1e3, r"this machine is busy, with 1000 processes at work on \d+ cores; wait .*"),
        (100, 512, 0.0, r"run the command again; scdfm doctor looks for .*"),
    ],
    ids=["disk", "memory", "load", "nothing"],
)
def test_a_machine_that_lacks_something_is_told_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: int, memory: int, load: float, said: str
) -> None:
    used = 2**30
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=disk * 2**20))
    monkeypatch.setattr(unstarted, "get_used_memory", lambda: used)
    monkeypatch.setattr(unstarted, "get_system_memory", lambda: used + memory * 2**20)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    assert re.fullmatch(said, lack(tmp_path))


def test_only_rays_own_processes_end_with_a_start_that_failed(tmp_path: Path) -> None:
    python = [sys.executable, "-c"]
    with (
        subprocess.Popen([*python, FATHER, f"--session-dir={tmp_path}/r"]) as raylet,
        subprocess.Popen([*python, SLEEP]) as of_another_thread,
    ):
        while not (workers := descendants(raylet.pid)):
            time.sleep(0.05)
        clear_away(tmp_path)
        assert raylet.wait(60) == -9
        while workers & _parents().keys():
            time.sleep(0.05)
        assert of_another_thread.poll() is None
        of_another_thread.kill()
