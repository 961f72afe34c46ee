"""sweep.lock.yaml: what a sweep's directory was begun with, so that nothing else continues it.

Budget, resources and failure rules are left out: they may change between restarts.
"""

import os
from typing import Any

import yaml

from cluster.runs.fine_tune import source_model
from scdfm.flow.checkpoint import WEIGHTS
from scdfm.screen.atomic import sha256
from sweeps.schema import SweepConfig

FILE = "sweep.lock.yaml"


def lock(sweep: SweepConfig, *, fingerprint: str, begun: bool) -> None:
    """Write the lock, or check that the directory was begun with this very sweep.

    Args:
        sweep: What is asked for now.
        fingerprint: Of the store.
        begun: Whether a trial was ever started; until then a sweep may be corrected.

    Raises:
        ValueError: The directory holds another sweep; names the first difference.
    """
    path = sweep.directory / FILE
    now = _resolved(sweep, fingerprint=fingerprint)
    if not (path.is_file() and begun):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        draft.write_text(yaml.safe_dump(now, sort_keys=False))
        os.replace(draft, path)
        return
    changed = _difference(yaml.safe_load(path.read_text()), now)
    if changed:
        raise ValueError(
            f"{sweep.directory} holds another sweep: {changed}; choose another name or delete it"
        )


def _resolved(sweep: SweepConfig, *, fingerprint: str) -> dict[str, Any]:
    """Everything that decides what trials there are and what they are worth."""
    values = sweep.model_dump(
        mode="json", exclude={"base", "output", "budget", "resources", "failure"}
    )
    base = sweep.run({}, split=0).model_dump(mode="json")
    for name in ("name", "output", "split", "threads"):
        base.pop(name)
    return {**values, "base": base, "store_fingerprint": fingerprint, "files": _files(sweep)}


def _files(sweep: SweepConfig) -> dict[str, str]:
    """Hashes of what trials read besides the store: lists of edges, models to start from."""
    runs = [sweep.run(one, split=0) for one in sweep.samples()]
    edges = {run.graph.path for run in runs if run.graph.path is not None}
    models = {source_model(run.init_from) / WEIGHTS for run in runs if run.init_from is not None}
    return {str(path): sha256(path) for path in sorted(edges | models)}


def _difference(old: Any, new: Any) -> str | None:
    before, after = _flat(old), _flat(new)
    for name in [*before, *after]:
        if before.get(name) != after.get(name):
            return f"{name} was {before.get(name)!r} and is now {after.get(name)!r}"
    return None


def _flat(values: Any, *, prefix: str = "") -> dict[str, Any]:
    if isinstance(values, list):
        values = dict(enumerate(values))
    if not isinstance(values, dict):
        return {prefix: values}
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, prefix=f"{prefix}.{name}" if prefix else str(name))
    return flat
