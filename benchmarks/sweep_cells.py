"""A sweep on made-up cells, run by `scdfm tune` in a process of its own, and what its ledger tells.

Trials train a network of which a step takes milliseconds, so that what is measured is the platform.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from data_store.ingest.write import IngestOptions, ingest
from data_store.simulate import SimulateOptions, simulate
from sweeps.schema.files import make_sweep
from sweeps.schema.sweep import SweepConfig

SPACE = {
    "loss.mmd_weight": {"type": "float", "low": 0.01, "high": 10, "log": True},
    "training.learning_rate": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
    "model.width": {"type": "choice", "values": [16, 32, 64]},
}


def made_up_store(folder: Path, *, cells: int = 2_000, genes: int = 120) -> Path:
    """A store of simulated cells below a folder."""
    source, store = folder / "cells.h5ad", folder / "store.zarr"
    if not store.exists():
        options = SimulateOptions(cells=cells, genes=genes, singles=8, doubles=10, seed=5)
        simulate(options).write_h5ad(source)
        ingest(source, store, options=IngestOptions())
    return store


def base_of(store: Path, *, steps: int, rounds: int = 1, width: int = 32) -> dict[str, Any]:
    """Settings of a run on one thread."""
    return {
        "store": str(store),
        "genes": {"model": 100, "evaluation": 60},
        "graph": {"k": 5},
        "model": {"width": width, "layers": 1, "dropout": 0.0},
        "source": "other_control",
        "batch": {"conditions": 4, "cells": 8, "genes": 60},
        "training": {"steps": steps, "validate_every": max(1, steps // rounds), "warmup": 0},
        "validation": {"cells": 16, "units": 4, "steps": 2},
        "threads": 1,
    }


def sweep_of(name: str, *, base: Mapping[str, Any], trials: int, **others: Any) -> dict[str, Any]:
    """A sweep of random configurations, one at a time, without early stopping unless told."""
    usual: dict[str, Any] = {
        "name": name,
        "base": dict(base),
        "splits": [{"kind": "additive"}],
        "space": SPACE,
        "search": {"sampler": "random", "seed": 3},
        "prune": {"scheduler": "none"},
        "budget": {"trials": trials, "concurrent": 1},
        "resources": {"cpu": 1},
        "reuse": False,
    }
    return usual | others


class Command:
    """`scdfm tune` on a sweep, in a process of its own.

    Attributes:
        sweep: What is run.
        seconds: That the command took, once `wait` has returned.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        whole = {**settings, "output": str(folder / "runs")}
        self.sweep: SweepConfig = make_sweep(whole, where=str(settings["name"]))
        file = folder / f"{self.sweep.name}.yaml"
        file.write_text(yaml.safe_dump(whole))
        self._said = (folder / f"{self.sweep.name}.txt").open("a")
        self._began = time.monotonic()
        self.seconds = 0.0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "tune", str(file)],
            stdout=self._said,
            stderr=self._said,
            start_new_session=True,
        )

    def wait(self, *, look: Callable[[], None] = lambda: None, every: float = 0.2) -> int:
        """Wait for its end, and look at it meanwhile; its status."""
        while self.process.poll() is None:
            look()
            time.sleep(every)
        self.seconds = time.monotonic() - self._began
        self._said.close()
        return self.process.returncode

    def finish(self) -> "Command":
        """Wait for its end.

        Raises:
            RuntimeError: It failed.
        """
        if self.wait():
            raise RuntimeError(f"scdfm tune failed; see {self._said.name}")
        return self

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of its ledger."""
        path = self.sweep.directory / "ledger.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    @property
    def searching(self) -> float:
        """Seconds from the start of the first trial to the end of the last one."""
        ends = ("complete", "pruned", "failed", "infeasible")
        first = next(one["time"] for one in self.events if one["event"] == "start")
        last = max(one["time"] for one in self.events if one["event"] in ends)
        return float(last - first)
