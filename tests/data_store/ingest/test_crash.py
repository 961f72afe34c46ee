"""A killed ingest leaves no store, and ingesting again gives the undisturbed one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data_store.ingest.write import ingest
from data_store.simulate import SimulateOptions, simulate
from data_store.store.schema import read_manifest

# Imports come first: the moments of the kills are to spread over the ingest.
# A step is whatever Python does to a file or directory beside the store. Steps, unlike seconds, are
# as many on a busy machine, so a process that kills itself at one of them is sure to be amidst.
PROGRAM = """
import itertools, os, signal, sys
from pathlib import Path
from data_store.ingest.write import IngestOptions, ingest

source, store, workers, last = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
beside, steps = f"{store.parent}/.{store.name}", itertools.count()

def count(event, arguments):
    if any(isinstance(name, str | Path) and str(name).startswith(beside) for name in arguments):
        if str(next(steps)) == last:
            os.kill(os.getpid(), signal.SIGKILL)

print("ready", flush=True)
input()
sys.addaudithook(count)
ingest(source, store, options=IngestOptions(workers=workers))
print("done", next(steps), flush=True)
"""
KILLS = 10  # of each kind


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "cells.h5ad"
    simulate(SimulateOptions(cells=3_000, genes=500, singles=5, doubles=4)).write_h5ad(path)
    return path


class Ingest:
    """A process that ingests when it is told to."""

    def __init__(self, source: Path, store: Path, *, workers: int, last: int = -1) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-W", "ignore", "-c", PROGRAM),
                *(source, store, str(workers), str(last)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self._answer() == "ready\n"

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def finish(self) -> int:
        """How many steps it took."""
        done, steps = self._answer().split()
        assert done == "done"
        return int(steps)

    def died(self) -> bool:
        """Wait for the end: was it by its own hand?"""
        self._process.communicate()
        return self._process.returncode == -signal.SIGKILL

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_killing_at_any_moment_changes_nothing(source: Path, tmp_path: Path) -> None:
    undisturbed = Ingest(source, tmp_path / "undisturbed", workers=1)
    begun = time.monotonic()
    undisturbed.begin()
    steps = undisturbed.finish()
    lasts = time.monotonic() - begun
    undisturbed.kill()
    draw = np.random.default_rng(0)
    for k, moment in enumerate(draw.uniform(0, lasts, KILLS)):
        process = Ingest(source, tmp_path / "store", workers=1 + k % 2)
        process.begin()
        time.sleep(moment)  # on a busy machine it may be done by then
        process.kill()
        _require_nothing_changed(source, tmp_path)
    for k, last in enumerate(np.linspace(0, steps - 1, KILLS).astype(int).tolist()):
        process = Ingest(source, tmp_path / "store", workers=2 - k % 2, last=last)
        process.begin()
        assert process.died()
        _require_nothing_changed(source, tmp_path)


def _require_nothing_changed(source: Path, folder: Path) -> None:
    """There is no store or the undisturbed one, and another ingest makes that one."""
    store = folder / "store"
    expected = read_manifest(folder / "undisturbed").fingerprint
    if store.exists():
        assert read_manifest(store).fingerprint == expected
    assert ingest(source, store).fingerprint == expected
    assert sorted(path.name for path in folder.iterdir()) == ["store", "undisturbed"]
    shutil.rmtree(store)
