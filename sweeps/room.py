"""What is said while trials wait for room, and of those that stalled."""

import logging
from pathlib import Path

from cluster.nodes.stall import stalls
from cluster.nodes.waiting import Waiting
from sweeps.schema.sweep import SweepConfig
from sweeps.watch import Watch

log = logging.getLogger(__name__)


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
