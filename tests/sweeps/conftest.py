"""A sweep small enough for tests."""

from pathlib import Path
from typing import Any

import pytest

from sweeps import SweepConfig

TINY: dict[str, Any] = {
    "name": "tiny",
    "base": {
        "store": "any.zarr",
        "genes": {"model": 60, "evaluation": 30},
        "graph": {"k": 4},
        "model": {"width": 16, "layers": 1},
        "source": "control",
        "batch": {"conditions": 2, "cells": 8, "genes": 30},
        "training": {"steps": 4, "validate_every": 2, "learning_rate": 1e-3},
        "validation": {"cells": 8, "units": 4, "steps": 2},
    },
    "splits": [{"kind": "additive"}, {"kind": "holdout", "genes": 2}],
    "space": {
        "loss.mmd_weight": {"type": "float", "low": 0.01, "high": 10, "log": True},
        "graph.k": {"type": "int", "low": 4, "high": 12, "step": 4},
        "model.width": {"type": "choice", "values": [8, 16]},
    },
    "search": {"seed": 3, "startup": 2},
    "budget": {"trials": 3},
}


@pytest.fixture
def tiny() -> dict[str, Any]:
    """The settings of a tiny sweep, as a file would hold them."""
    return dict(TINY)


@pytest.fixture
def tiny_sweep(
    tiny: dict[str, Any], tiny_store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SweepConfig:
    """A tiny sweep over real (simulated) cells, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    return SweepConfig.model_validate(
        tiny | {"base": tiny["base"] | {"store": str(tiny_store_path)}}
    )
