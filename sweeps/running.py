"""One session of Ray Tune: it runs what a search proposes, and a watch records what happens."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray.tune
from ray.tune.schedulers import TrialScheduler

from cluster.runs.stop import stoppable
from scdfm.screen.names import how_many
from sweeps.directory import SweepDirectory
from sweeps.objective import tune_trial
from sweeps.proposals.search import Failures, ListSearch, StudySearch
from sweeps.room import room_for, timeout_of
from sweeps.schema.sweep import SweepConfig
from sweeps.trials.deaths import known_to_tune
from sweeps.trials.full import Room
from sweeps.trials.guard import Faults, GuardedCallback, GuardedSearch
from sweeps.trials.one_code import OneCode
from sweeps.trials.stopping import Trials
from sweeps.watch import TooManyFailures, Watch

log = logging.getLogger(__name__)


class SweepFailedError(RuntimeError):
    """The sweep ended without a best model."""


def run_session(
    sweep: SweepConfig,
    *,
    watch: Watch,
    search: ListSearch | StudySearch,
    scheduler: TrialScheduler,
    at_once: int,
    trials: int,
    seconds: float | None = None,
    spent: Callable[[], bool] = lambda: False,
) -> None:
    """Run trials until the search has none left.

    Args:
        sweep: The sweep.
        watch: Records what happens to each trial.
        search: Proposes configurations, and says when there are no more.
        scheduler: Decides which trials go on.
        at_once: Trials to run side by side.
        trials: How many there are, those that are over included, of which a share may fail.
        seconds: After which it stops; none: no limit.
        spent: Whether to stop for another reason.

    Raises:
        SweepFailedError: Too many trials failed, or they waited too long for room.
        CodeChangedError: Our code is not what the driver has loaded any more.
        OSError: The ledger, or a file of Ray Tune, could not be written, or a trial met a full
            disk; likewise a LeaseLostError, and what the study's database raises. No trial ends
            because of it.
    """
    directory, room, faults = SweepDirectory(sweep.directory), room_for(sweep, watch), Faults()
    failures = TooManyFailures(
        watch,
        allowed=sweep.failure.max_failed_fraction * trials,
        gives_up=lambda: room.expired or faults.any or spent(),
    )
    trainable = ray.tune.with_parameters(
        tune_trial, sweep=sweep, home=Path.cwd(), begun=watch.begun
    )
    known = known_to_tune()
    stopping = stoppable(Trials(directory, watch), stop=directory.stop)
    ended = (faults.raised(), _left(watch))
    with ended[0], ended[1], directory.tunes_own_files() as files, _quiet(), known, room, stopping:
        ray.tune.Tuner(
            ray.tune.with_resources(trainable, _own_room(sweep)),
            tune_config=ray.tune.TuneConfig(
                search_alg=GuardedSearch(faults, search),
                scheduler=scheduler,
                num_samples=-1,  # the search knows what is left
                max_concurrent_trials=at_once,
                reuse_actors=True,  # starting a worker takes longer than a short trial
                time_budget_s=seconds,
                trial_dirname_creator=_short_name,
            ),
            run_config=ray.tune.RunConfig(
                name="trials",
                storage_path=str(files),
                stop=failures,
                failure_config=ray.tune.FailureConfig(max_failures=sweep.failure.retries),
                callbacks=[GuardedCallback(faults, OneCode(), Room(), watch, Failures(search))],
                verbose=0,
            ),
        ).fit()
    if room.expired:
        raise SweepFailedError(
            f"gave up {room.line}; base.failure.placement_timeout is "
            f"{timeout_of(sweep):g} s: raise it, add nodes, or lower resources"
        )
    if failures.too_many:
        directory.ledger.write({"event": "abort"})
        raise SweepFailedError(
            f"{how_many(watch.failed, 'trial')} failed and "
            f"failure.max_failed_fraction allows {sweep.failure.max_failed_fraction:g} of "
            f"{trials}; the first said: {watch.reason}; fix that, or raise "
            "failure.max_failed_fraction, and run the sweep again"
        )


def _own_room(sweep: SweepConfig) -> dict[str, float]:
    """What a trial's own process takes: nothing where workers inside train, but Tune wants some."""
    if sweep.resources.workers > 1:
        return {"cpu": 0, "memory": 1}  # byte
    return {"cpu": sweep.resources.cpu, "gpu": sweep.resources.gpu}


def _short_name(trial: Any) -> str:
    """A folder name without values, which may be long."""
    return str(trial.trial_id)


@contextmanager
def _left(watch: Watch) -> Iterator[None]:
    """Tell the watch that the session ends, however it does."""
    try:
        yield
    finally:
        watch.leave()


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch off Ray Tune's tables, logs and signal handler."""
    settings = {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C must end the command, not look like success
        "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # of trials that are told of in the ledger
    }
    before = {name: os.environ.get(name) for name in settings}
    logger = logging.getLogger("ray.tune")
    level = logger.level
    os.environ.update(settings)
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
