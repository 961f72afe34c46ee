"""A local Ray listens on loopback, wants a token, and leaves nothing behind."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import session

PROGRAM = """
import json, os, ray, tempfile
from pathlib import Path
from cluster.processes import command, descendants
from cluster.session import local_folder, session
from tests.network import listening

with session(cpus=1):
    ray.get(ray.remote(lambda: 1).remote())
    family = {os.getpid(), *descendants()}
    folder, place = local_folder(), Path(tempfile.gettempdir())
    servers, strange = listening(family)
    print(json.dumps({
        "servers": servers,
        "strange": sorted(strange),
        "token": os.environ["RAY_AUTH_TOKEN"],
        "commands": [command(one) for one in family],
        "address": ray.get_runtime_context().gcs_address,
        # Python itself writes a file there for a moment, in each process that asks for the place.
        "beside": [one.name for one in place.iterdir() if one.is_dir() and one != folder],
        "mode": oct(folder.stat().st_mode & 0o077),
    }), flush=True)
    input()
"""
REFUSED = """
import json
from cluster import session
from cluster.processes import descendants

try:
    with session.session(cpus=-1):
        pass
except ValueError as error:
    folder = session.local_folder()
    print(json.dumps([str(error), sorted(descendants()), None if folder is None else str(folder)]))
"""
CALLER = """
import sys
from ray._raylet import GcsClient
print(len(GcsClient(address=sys.argv[1]).get_all_node_info()))
"""


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary and home directory of the session's own."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
    tempfile.tempdir = None


def called(address: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Ask a Ray for its nodes, with another token or none."""
    return subprocess.run(
        [sys.executable, "-c", CALLER, address],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(400)
def test_a_local_session_is_private_to_this_machine_and_process(place: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        told: dict[str, Any] = json.loads(driver.stdout.readline())
        strangers = [
            called(told["address"], RAY_AUTH_MODE="disabled"),
            called(told["address"], RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64),
        ]
        friend = called(told["address"], RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=told["token"])
        driver.communicate("\n", timeout=100)
    assert told["servers"] > 3
    assert told["strange"] == []
    assert not any(told["token"] in command for command in told["commands"])
    assert all("token" in stranger.stderr and not stranger.stdout for stranger in strangers)
    assert friend.stdout == "1\n"
    assert told["beside"] == []
    assert told["mode"] == "0o0", "others may look into the folder"
    assert driver.returncode == 0
    assert list(place.iterdir()) == []


def test_the_folder_of_a_process_that_died_is_removed_and_that_of_a_live_one_stays(
    place: Path,
) -> None:
    dead, alive = place / "scdfm-ray-dead", place / "scdfm-ray-alive"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "in-use").touch()
    with (alive / "in-use").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with session._folder() as mine:
            assert {path.name for path in place.iterdir()} == {alive.name, mine.name}
    assert list(place.iterdir()) == [alive]


@pytest.mark.ray
def test_ray_that_does_not_start_leaves_nothing(place: Path) -> None:
    # A process of its own: in this one, a Ray of other tests may be running.
    ended = subprocess.run(
        [sys.executable, "-c", REFUSED], capture_output=True, text=True, check=True, timeout=100
    )
    said, left, folder = json.loads(ended.stdout)
    assert "must be nonnegative" in said
    assert (left, folder) == ([], None)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("gpus", "pieces"), [(0.5, 4), (1 / 3, 6), (0.4, 4), (0.25, 8), (1, 2), (2, 1), (3, 0), (0, 16)]
)
def test_a_share_of_a_gpu_is_of_one_gpu(gpus: float, pieces: int) -> None:
    node = {"CPU": 16.0, "GPU": 2.0}
    assert session.pieces_on(node, cpus=1, gpus=gpus) == pieces
    assert session.pieces_on(node, cpus=8, gpus=gpus) == min(pieces, 2)
    assert session.pieces_on({"CPU": 16.0}, cpus=1, gpus=gpus) == (0 if gpus else 16)
