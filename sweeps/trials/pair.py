"""One (configuration, split) pair: copied where it is known, trained otherwise."""

import time
from collections.abc import Callable
from pathlib import Path

from cluster.nodes.stall import Watchdog
from cluster.runs.directory import RunDirectory
from cluster.settings.config import RunConfig
from cluster.train import train_here
from scdfm.flow.training import Round
from sweeps.directory import SweepDirectory, forget_states
from sweeps.pairs.finished import FinishedPairs
from sweeps.trials.kept import kept_store
from sweeps.trials.workers import train_by_workers

LEASE_PATIENCE = 30.0  # seconds that a worker of a driver that died may hold a run


def train_pair(
    run: RunConfig,
    *,
    pairs: FinishedPairs,
    watchdog: Watchdog | None,
    tell: Callable[[], None] = lambda: None,
    on_round: Callable[[Round], bool] = lambda outcome: True,
) -> Path | None:
    """Have the finished run of a pair, and tell other sweeps of it if it was trained here.

    Args:
        run: Of the pair.
        pairs: Those that sweeps have finished.
        watchdog: Is told of its steps.
        tell: Called before the first step, when earlier sessions can be read; and again and again
            while workers inside the trial train.
        on_round: Called after every validation round, but of such workers.

    Returns:
        The run of another sweep that it was copied from; None: it was trained, or is there already.

    Raises:
        StoppedError: The sweep was asked to stop.
    """
    directory = RunDirectory(run.directory)
    wait_for_lease(directory)  # who wrote last may have begun the pair by other code
    key = pairs.key(run)
    taken = None if key is None else pairs.take(run, key=key)
    directory.fetch()
    tell()
    if pairs.sweep.resources.workers > 1 and not directory.finished:
        train_by_workers(
            run,
            sweep=pairs.sweep,
            fingerprint=pairs.fingerprint,
            watchdog=watchdog,
            tell=tell,
        )
    else:
        train_here(
            run,
            device="cuda" if pairs.sweep.resources.gpu else "cpu",
            fingerprint=pairs.fingerprint,
            on_round=on_round,
            watchdog=watchdog,
            stop=SweepDirectory(pairs.sweep.directory).stop,
            opener=kept_store(),
        )
    forget_states(directory)
    if key is not None and taken is None:
        pairs.note(run, key=key)
    return taken


def wait_for_lease(directory: RunDirectory) -> None:
    """Let a worker whose driver was killed notice it and go."""
    deadline = time.monotonic() + LEASE_PATIENCE
    while True:
        try:
            with directory.held():
                return
        except ValueError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
