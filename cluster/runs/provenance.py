"""Where a result comes from: cells, code, versions, machine."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch

from cluster.runs.records import RunManifest
from data_store.store.reader import Store
from scdfm.flow.checkpoint import ModelCard
from scdfm.flow.files import identity_file
from scdfm.flow.provenance import Hardware
from scdfm.screen.atomic import sha256

PACKAGES = ("scdfm", "torch", "ray", "zarr", "anndata", "numpy", "scipy", "optuna")


class ModelIdentity(NamedTuple):
    """Which model this is."""

    run: str | None
    step: int | None
    weights: str  # sha256; of an ensemble, of the file that has those of its members


def provenance(store: Store, *, run: str, address: str) -> RunManifest:
    """Facts to keep with a run and with its models.

    Args:
        store: What is learnt from.
        run: The run's name.
        address: Of the store, as the user writes it.
    """
    return RunManifest(
        run=run,
        store=address,
        fingerprint=store.fingerprint,
        contexts=tuple(store.contexts),
        versions=versions(),
        commit=commit(),
        hardware=Hardware(
            machine=platform.machine(),
            cores=_cores(),
            gpus=tuple(torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())),
        ),
        date=datetime.now(tz=UTC).date().isoformat(),
    )


def versions() -> dict[str, str]:
    """Versions of the packages that decide a result."""
    return {package: version(package) for package in PACKAGES}


def model_identity(path: Path, card: ModelCard) -> ModelIdentity:
    """Which model this is: its run, its step, and the hash of its weights."""
    return ModelIdentity(
        run=card.provenance.run,
        step=card.provenance.step,
        weights=sha256(identity_file(path)),
    )


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
