"""Settings of a run that trains in a second."""

from pathlib import Path
from typing import Any


def settings(store: Path, output: Path, **changes: Any) -> dict[str, Any]:
    return {
        "store": str(store),
        "name": "tiny",
        "output": str(output / "runs"),
        "seed": 1,
        "split": {"kind": "additive", "fold": 0},
        "genes": {"model": 24, "evaluation": 12},
        "graph": {"k": 3},
        "model": {"width": 16, "layers": 1},
        "source": "other_control",
        "batch": {"conditions": 2, "cells": 4, "genes": 16},
        "training": {
            "steps": 6,
            "learning_rate": 1e-3,
            "validate_every": 2,
            "log_every": 1,
            "ema": 0.9,
        },
        "validation": {"cells": 8, "steps": 2},
        "sampling": {"steps": 2, "batch": 16},
        "threads": 1,
    } | changes
