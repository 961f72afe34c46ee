"""A worker that takes no step ends itself, and tells where it stood."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import pytest

from cluster.nodes.stall import FOLDER, forget_living, stalls, watched
from cluster.settings.config import make_run
from cluster.train import train
from tests.cluster.small import settings

PROGRAM = """
import ctypes, sys, time
from pathlib import Path
from cluster.nodes.stall import watched

def hangs():
    # A call that never gives Python's lock back, as a stuck kernel would.
    ctypes.PyDLL(None).sleep(300)

with watched(Path(sys.argv[1]), who="worker 3", seconds=1.5) as watchdog:
    began = time.monotonic()
    while time.monotonic() - began < 1.7:  # in all longer than allowed, each step a moment
        watchdog.step()
        time.sleep(0.01)
    with watchdog.resting():
        time.sleep(1.7)
    print("went on", flush=True)
    if sys.argv[2] == "hang":
        hangs()
"""


def run(directory: Path, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(directory), how],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_worker_that_hangs_is_ended_and_its_stack_is_told(tmp_path: Path) -> None:
    ended = run(tmp_path, "hang")
    assert (ended.returncode, ended.stdout) == (1, "went on\n")
    known: set[Path] = set()
    [stall] = stalls(tmp_path, known=known)
    assert stall.who == "worker 3"
    assert stall.at[0].startswith("hangs (<string>:")
    assert stall.line.startswith("worker 3 took no step for 1.5 s and was ended; it was in hangs (")
    assert stall.file.parent == tmp_path / FOLDER
    assert list(stalls(tmp_path, known=known)) == [], "it is told twice"
    killed = stall.file.with_name("worker-4-1.txt")
    killed.write_text("worker 4, 1.5 s, thread 0x0000000000000001\n")
    forget_living(tmp_path)
    assert [path.name for path in stall.file.parent.iterdir()] == [stall.file.name]


def test_a_worker_that_goes_on_leaves_nothing(tmp_path: Path) -> None:
    ended = run(tmp_path, "end")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "went on\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_worker_may_begin_while_another_removes_the_empty_folder(tmp_path: Path) -> None:
    over = Event()

    def removes() -> None:
        while not over.wait(1e-4):
            with suppress(OSError):
                (tmp_path / FOLDER).rmdir()

    other = Thread(target=removes)
    other.start()
    try:
        for _ in range(60):
            with watched(tmp_path, who="worker 0", seconds=100):
                pass
    finally:
        over.set()
        other.join()
    assert list(stalls(tmp_path, known=set())) == []


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(240)
def test_the_driver_tells_of_a_stalled_worker_and_gives_up_after_its_limit(
    ray_session: None, tiny_store_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Opening the store takes longer than this. On a busy machine a worker may die before Ray Train
    # knows that it has begun, which counts as a failed start; then another one is started.
    limits = {"stall_timeout": 0.02, "worker_restarts": 0, "backoff": 0}
    run = make_run(settings(tiny_store_path, tmp_path, failure=limits), where="test")
    caplog.set_level("INFO", logger="cluster")
    with pytest.raises(RuntimeError, match=r"^a worker died \(worker 0: .*worker_restarts is 0; "):
        train(run, cpus_per_worker=1)
    said = [record.message for record in caplog.records]
    stalled = {line.partition(" in ")[0] for line in said if "took no step" in line}
    assert stalled == {"worker 0 took no step for 0.02 s and was ended; it was"}
