"""One run of a trial, trained by several workers through Ray Train."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

from cluster.job import as_job
from cluster.nodes.stall import Watchdog
from cluster.runs.directory import RunDirectory
from cluster.runs.stop import StoppedError
from cluster.settings.config import RunConfig
from cluster.train import train_inside
from sweeps.directory import SweepDirectory
from sweeps.schema.sweep import SweepConfig


def train_by_workers(
    run: RunConfig,
    *,
    sweep: SweepConfig,
    fingerprint: str | None,
    watchdog: Watchdog | None,
    tell: Callable[[], None],
) -> None:
    """Have workers train a run, as `scdfm train --workers` does; they end with this call.

    Args:
        run: What to train.
        sweep: Whose trial it is of.
        fingerprint: Of the store's version to begin with.
        watchdog: Of this process, which waits; workers have their own.
        tell: Called again and again, with the run's newest files here.

    Raises:
        StoppedError: The sweep was asked to stop, and the workers have.
    """
    directory, stop = RunDirectory(run.directory), SweepDirectory(sweep.directory).stop

    def look() -> None:
        if stop.asked:
            for one in (directory, *directory.folds):
                if not one.stop.asked:
                    one.stop.ask()
        directory.fetch()
        tell()

    own = sweep.resources
    work = partial(
        train_inside,
        run,
        workers=own.workers,
        cpus=own.cpu,
        gpu=own.gpu > 0,
        fingerprint=fingerprint,
    )
    try:
        with nullcontext() if watchdog is None else watchdog.resting():
            as_job(work, meanwhile=look)
    except StoppedError:
        # Ray Train's end has removed the answer that the driver waits for.
        if (step := directory.states.step) is not None:
            directory.stop.answer(step)
        raise
