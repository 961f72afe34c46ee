"""A sweep whose directory is there and that no trial has begun in."""

from pathlib import Path

from sweeps import SweepConfig
from sweeps.directory import SweepDirectory


def begun_sweep(store: Path, *, output: Path) -> SweepDirectory:
    """A sweep over k, locked to cells that nobody reads."""
    sweep = SweepConfig.model_validate(
        {
            "name": "small",
            "output": str(output),
            "base": {"preset": "tiny", "store": str(store)},
            "splits": [{"kind": "additive"}],
            "space": {"graph.k": {"type": "choice", "values": [3, 4]}},
        }
    )
    directory = SweepDirectory(sweep.directory)
    with directory.held():
        directory.lock.take(sweep, fingerprint="f" * 64, begun=False)
    return directory
