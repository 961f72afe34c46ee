"""A full disk is one line that names the path, and leaves nothing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_store.disk.room import room_for
from data_store.simulate import SimulateOptions, simulate

PROGRAM = """
import resource, sys
limit = int(sys.argv.pop(1))
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from cli.main import main
main()
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "cells.h5ad"
    simulate(SimulateOptions(cells=3_000, genes=500, singles=5, doubles=4)).write_h5ad(path)
    return path


def run(source: Path, store: Path, *, largest_file: int = 0) -> tuple[int, str]:
    """`scdfm ingest` as users run it: exit status and standard error; 0: files may grow."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(largest_file)]
    done = subprocess.run(
        [*command, "ingest", str(source), str(store)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=100,
    )
    return done.returncode, done.stderr


def complaint(status: int, said: str, store: Path) -> str:
    """The line about the disk: the only one that is no detection."""
    assert status == 1, said
    assert "Traceback" not in said
    (line,) = (line for line in said.splitlines() if "expected room" in line)
    assert said.strip().endswith(line)
    assert str(store) in line
    assert "free some space or name a place on another disk" in line
    return line


@pytest.mark.slow
@pytest.mark.parametrize("largest_file", [1_000, 20_000, 100_000])
def test_a_file_that_may_not_grow_is_one_line_and_no_store(
    source: Path, tmp_path: Path, largest_file: int
) -> None:
    store = tmp_path / "stores" / "new"
    complaint(*run(source, store, largest_file=largest_file), store)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "", "-t", "tmpfs", "-o", "size=300k", "none", str(folder)]
    if os.geteuid() != 0 or mount is None or subprocess.run(command, check=False).returncode != 0:
        pytest.skip("a small file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_file_system_is_one_line_and_no_store(source: Path, small_disk: Path) -> None:
    store = small_disk / "store"
    line = complaint(*run(source, store), store)
    assert "No space left" in line
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError("Can't write data (file write failed: errno = 28, error message = 'No space')"),
        RuntimeError("an error writing a chunk: No space left on device (os error 28)"),
        OSError(27, "File too large"),
    ],
)
def test_every_library_is_understood(error: OSError | RuntimeError, tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=f"expected room for {tmp_path}.*free some"),
        room_for(tmp_path),
    ):
        raise error


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"^broken$"), room_for(tmp_path):
        raise OSError("broken")
