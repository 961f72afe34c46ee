"""What a second worker is worth, how long a start takes until the first step, and an end by Ctrl-C.

    python benchmarks/workers.py --steps 15 --turns 3      # 6 minutes on two free cores

Each turn trains the same field with one worker and with two, of one core each, through
`scdfm train` in processes of its own. A step of two workers takes twice the cells, so their cells
per second are compared. The field is wide: the step's time is arithmetic, not the averaging of
gradients. The first steps, and rounds of validation, do not count. Each command is ended by Ctrl-C.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import yaml

from cluster.runs.directory import RunDirectory
from data_store.ingest.write import ingest
from data_store.simulate import SimulateOptions, simulate

_WARM = 5  # steps
_PATIENCE = 600.0  # seconds


class Turn(NamedTuple):
    """What one command took."""

    cells: float  # per second
    start: float  # seconds to the first step
    end: float  # seconds from Ctrl-C to the prompt


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--steps", type=int, default=15)
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--width", type=int, default=128)
    given = options.parse_args()
    found: dict[int, list[Turn]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(prefix="workers") as folder:
        store = _store(Path(folder))
        for turn in range(given.turns):
            for workers in (1, 2):
                one = Path(folder) / f"{turn}-{workers}"
                took = _turn(one, store, workers=workers, steps=given.steps, width=given.width)
                found[workers].append(took)
                print(f"turn {turn + 1}, workers {workers}: {_said(took)}", flush=True)
    cells = {workers: [one.cells for one in turns] for workers, turns in found.items()}
    ratios = [two / one for one, two in zip(cells[1], cells[2], strict=True)]
    print(f"2 workers over 1: {statistics.median(ratios):.2f} ({min(ratios):.2f} to ", end="")
    print(f"{max(ratios):.2f} in {len(ratios)} turns)")
    for workers, turns in found.items():
        start = statistics.median(one.start for one in turns)
        end = statistics.median(one.end for one in turns)
        print(f"{workers} worker(s): first step after {start:.1f} s, Ctrl-C {end:.1f} s")


def _said(turn: Turn) -> str:
    return f"{turn.cells:.1f} cells/s, first step {turn.start:.1f} s, Ctrl-C {turn.end:.1f} s"


def _store(folder: Path) -> Path:
    source = folder / "cells.h5ad"
    simulate(SimulateOptions(cells=2_000, genes=500, singles=10, doubles=5)).write_h5ad(source)
    ingest(source, folder / "store")
    return folder / "store"


def _turn(folder: Path, store: Path, *, workers: int, steps: int, width: int) -> Turn:
    folder.mkdir()
    run = {
        "store": str(store),
        "name": "run",
        "split": {"kind": "additive"},
        "genes": {"model": 400, "evaluation": 100},
        "graph": {"k": 5},
        "model": {"width": width, "layers": 2},
        "source": "other_control",
        "batch": {"conditions": 4, "cells": 16, "genes": 300},
        "training": {"steps": 100_000, "validate_every": 100_000, "log_every": 1},
        "validation": {"cells": 4, "units": 1, "steps": 1},
        "threads": 1,
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    began = time.monotonic()
    with (folder / "said.txt").open("w") as said:
        command = subprocess.Popen(
            [
                *(sys.executable, "-m", "cli.main", "train", "run.yaml"),
                *("--workers", str(workers), "--cpus-per-worker", "1"),
            ],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=said,
            stderr=said,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        directory = RunDirectory(folder / "runs" / "run")
        start = _reached(directory, command, steps=1) - began
        _reached(directory, command, steps=_WARM + steps)
        sent = time.monotonic()
        command.send_signal(signal.SIGINT)
        command.wait(_PATIENCE)
        end = time.monotonic() - sent
    rates = [
        line["cells_per_second"]
        for line in directory.times.lines()
        if "cells_per_second" in line and _WARM < line["step"] <= _WARM + steps
    ]
    return Turn(statistics.median(rates), start, end)


def _reached(directory: RunDirectory, command: subprocess.Popen[bytes], *, steps: int) -> float:
    """When a run has taken so many steps."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if any(line["step"] >= steps for line in directory.times.lines()):
            return time.monotonic()
        if command.poll() is not None:
            break
        time.sleep(0.05)
    command.kill()
    raise SystemExit(f"no step {steps}: {(directory.path.parents[1] / 'said.txt').read_text()}")


if __name__ == "__main__":
    main()
