"""Where a result comes from: cells, code, versions, machine."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cluster.runs.config import RunConfig
from data_store.publish.commit import sha256
from data_store.store.reader import Store
from scdfm.flow.checkpoint import WEIGHTS, ModelCard

PACKAGES = ("scdfm", "torch", "ray", "zarr", "anndata", "numpy", "scipy", "optuna")


def provenance(run: RunConfig, store: Store) -> dict[str, Any]:
    """Facts to keep with a run and with its models, ready for JSON."""
    return {
        "run": run.name,
        "store": run.store,
        "fingerprint": store.fingerprint,
        "contexts": list(store.contexts),
        "versions": versions(),
        "commit": commit(),
        "hardware": {
            "machine": platform.machine(),
            "cores": _cores(),
            "gpus": [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())],
        },
        "date": datetime.now(tz=UTC).date().isoformat(),
    }


def versions() -> dict[str, str]:
    """Versions of the packages that decide a result."""
    return {package: version(package) for package in PACKAGES}


def model_identity(path: Path, card: ModelCard) -> dict[str, Any]:
    """Which model this is: its run, its step, and the hash of its weights."""
    return {
        "run": card.provenance.get("run"),
        "step": card.provenance.get("step"),
        "weights": sha256(path / WEIGHTS),
    }


def commit() -> str | None:
    """Commit of the source tree this code runs from; none for an installed wheel."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _cores() -> int:
    """Cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
