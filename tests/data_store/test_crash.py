"""A killed ingest leaves no store, and ingesting again gives the undisturbed one."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data_store.ingest import ingest
from data_store.schema import read_manifest
from data_store.simulate import SimulateOptions, simulate

# Imports come first: the moments of the kills are to spread over the ingest.
PROGRAM = """
import sys
from pathlib import Path
from data_store.ingest import IngestOptions, ingest
print("ready", flush=True)
input()
ingest(Path(sys.argv[1]), Path(sys.argv[2]), options=IngestOptions(workers=int(sys.argv[3])))
print("done", flush=True)
"""
KILLS = 20


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "cells.h5ad"
    simulate(SimulateOptions(cells=3_000, genes=500, singles=5, doubles=4)).write_h5ad(path)
    return path


class Ingest:
    """A process that ingests when it is told to."""

    def __init__(self, source: Path, store: Path, *, workers: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROGRAM, source, store, str(workers)],
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

    def finish(self) -> None:
        assert self._answer() == "done\n"

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
    undisturbed.finish()
    lasts = time.monotonic() - begun
    undisturbed.kill()
    expected = read_manifest(tmp_path / "undisturbed").fingerprint
    store = tmp_path / "store"
    unfinished = 0
    for k, moment in enumerate(np.random.default_rng(0).uniform(0, lasts, KILLS)):
        process = Ingest(source, store, workers=1 + k % 2)
        process.begin()
        time.sleep(moment)
        process.kill()
        if store.exists():  # it was done before
            assert read_manifest(store).fingerprint == expected
        unfinished += not store.exists()
        assert ingest(source, store).fingerprint == expected
        assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "undisturbed"]
        shutil.rmtree(store)
    assert unfinished >= KILLS // 2
