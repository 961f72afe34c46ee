"""How many trials have room at once; what is said while they wait for it, and of stalled ones."""

import logging
from pathlib import Path

from cluster.nodes.stall import stalls
from cluster.nodes.waiting import Waiting
from cluster.session import fits, require
from sweeps.schema.sweep import SweepConfig
from sweeps.watch import Watch

log = logging.getLogger(__name__)


def concurrent(sweep: SweepConfig) -> int:
    """Trials to run at once.

    Raises:
        ValueError: The cluster is too small.
    """
    cpu, gpu = sweep.resources.cpu, sweep.resources.gpu
    auto = sweep.budget.concurrent == "auto"
    at_once = 1 if auto else min(int(sweep.budget.concurrent), sweep.budget.trials)
    settings = [*([] if at_once == 1 else ["budget.concurrent"]), "resources.cpu"]
    if gpu:
        settings.append("resources.gpu")
    workers = max(1, sweep.resources.workers)
    if workers > 1:
        settings.append("resources.workers")
    require(
        at_once * workers,
        what="trial" if workers == 1 else "worker",
        cpus=cpu,
        gpus=gpu,
        remedy=f"lower {' or '.join(settings)} (in the file, or by --set)",
    )
    if not auto:
        return at_once
    # Splits side by side are promised room; those of "auto" take what trials leave.
    kept = sweep.resources.parallel_splits
    pieces = 1 if kept == "auto" else sweep.resources.side_by_side(len(sweep.splits))
    return max(1, fits(cpus=cpu, gpus=gpu) // (pieces * workers))


def room_for(sweep: SweepConfig, watch: Watch) -> Waiting:
    """Watches the nodes while a sweep's trials wait or run; to be entered.

    Args:
        sweep: The sweep.
        watch: Knows which trials run.
    """
    stalled = {stall.file for stall in stalls(sweep.directory, known=set())}
    return Waiting(
        "trial",
        pieces=1,
        cpus=sweep.resources.cpu,
        gpus=sweep.resources.gpu,
        timeout=timeout_of(sweep),
        waits=lambda: _waits(watch, sweep.directory, known=stalled),
    )


def timeout_of(sweep: SweepConfig) -> float:
    """Seconds that trials may wait for room when none runs."""
    return sweep.run({}, split=0).failure.placement_timeout


def _waits(watch: Watch, directory: Path, *, known: set[Path]) -> bool:
    """Whether trials wait for room and none runs; says which have stalled."""
    for stall in stalls(directory, known=known):
        log.warning(stall.line)
    return watch.waits
