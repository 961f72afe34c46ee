"""Costs of configurations that were measured, kept for this machine's user."""

import hashlib
import json
import logging
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from cluster.settings.config import RunConfig
from cluster.work.cost.limited import Cost
from scdfm.screen.atomic import write_text
from sweeps.space import content_hash

log = logging.getLogger(__name__)

_CACHE = "costs.json"
_RULE = 1  # of measuring; raised where the same run then costs another number. 1: all batches


def gib(size: float) -> str:
    """Bytes as GiB."""
    return f"{size / 2**30:.2g} GiB" if size < 99.5 * 2**30 else f"{size / 2**30:.0f} GiB"


def cost_key(
    run: RunConfig, *, sizes: tuple[str, int], gpu: bool, cpu: int, nodes: Sequence[str]
) -> str:
    """What decides the cost of a run: its settings, the store, the software, the machine.

    Args:
        run: The run.
        sizes: Fingerprint and genes of its store.
        gpu: Whether it is measured on a GPU.
        cpu: Threads.
        nodes: Names of the machines one of which measures.
    """
    facts = {
        "says": sorted(Cost.model_fields),  # one kept by an older version lacks what is new
        "rule": _RULE,
        "run": content_hash(run),
        "sizes": sizes,
        "where": [gpu, cpu, platform.processor() or platform.machine(), os.cpu_count()],
        "nodes": sorted(nodes),
        "versions": [version(name) for name in ("scdfm", "torch")],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def cost_file() -> Path:
    """Where costs are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "scdfm" / _CACHE


def kept_costs() -> dict[str, Cost]:
    """Costs measured before, without free memory; a file that cannot be read holds none."""
    try:
        told = json.loads(cost_file().read_text())
        return {key: Cost.model_validate(one) for key, one in told.items()}
    except (OSError, ValueError, ValidationError, AttributeError):
        return {}


def keep_costs(costs: dict[str, Cost]) -> None:
    """Keep what was measured to its end; where that cannot be written, it is measured again.

    What others have kept meanwhile stays: a measurement takes up to a minute. Free memory is left
    out: it was that of the moment.
    """
    every = kept_costs() | costs
    whole = {
        key: one.model_dump(exclude={"available"})
        for key, one in every.items()
        if one.stopped is None
    }
    try:
        cost_file().parent.mkdir(parents=True, exist_ok=True)
        write_text(cost_file(), json.dumps(whole) + "\n")
    except OSError as error:
        log.debug("costs are not kept: %s", error)
