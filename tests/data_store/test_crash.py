"""A killed ingest leaves no store, and ingesting again gives the undisturbed one."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data_store.ingest import ingest
from data_store.schema import read_manifest
from data_store.simulate import SimulateOptions, simulate

PROGRAM = """
import sys
from pathlib import Path
from data_store.ingest import ingest
print("ready", flush=True)
ingest(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "cells.h5ad"
    simulate(SimulateOptions(cells=3_000, genes=500, singles=5, doubles=4)).write_h5ad(path)
    return path


def start(source: Path, store: Path, limit: int | None = None) -> subprocess.Popen[str]:
    def confine() -> None:
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(source), str(store)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=confine,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_killing_at_any_moment_changes_nothing(source: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    expected = ingest(source, tmp_path / "undisturbed").fingerprint
    lasts = time.monotonic() - begun
    store = tmp_path / "store"
    for moment in np.random.default_rng(0).uniform(0, lasts, 6):
        process = start(source, store)
        time.sleep(moment)
        process.kill()
        process.communicate()
        if store.exists():  # it was done before
            assert read_manifest(store).fingerprint == expected
    assert ingest(source, store).fingerprint == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "undisturbed"]


def test_a_full_disk_leaves_nothing(source: Path, tmp_path: Path) -> None:
    process = start(source, tmp_path / "store", limit=100_000)
    _, complaint = process.communicate()
    assert process.returncode != 0
    last = complaint.strip().splitlines()[-1]
    assert "no space left" in last.casefold() or "too large" in last.casefold(), complaint
    assert list(tmp_path.iterdir()) == []
