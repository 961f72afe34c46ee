"""A whole sweep: Ray Tune runs the trials; our own files record what happened.

A restart needs nothing from Tune: the ledger knows which trials are over, runs continue from
their own checkpoints, and Optuna's study remembers every proposal.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from ray.tune.schedulers import FIFOScheduler

from cluster.nodes.examine import Needs
from cluster.nodes.preflight import check_here, check_nodes
from cluster.runs.begin import require_inputs
from cluster.runs.directory import RunDirectory
from cluster.runs.plan import planned_split, validation_cells
from cluster.runs.provenance import warn_if_untrained
from cluster.session import fits, require, session
from cluster.settings.config import RunConfig
from cluster.settings.watch import require_watchers
from data_store.store.reader import Store
from scdfm.metrics.pseudobulk import Pseudobulks
from scdfm.metrics.registry import METRICS
from scdfm.screen.address import url_of
from scdfm.screen.atomic import write_json
from scdfm.screen.progress import phase
from scdfm.screen.randomness import numpy_generator
from sweeps.budget import NO_GAIN, Spent, devices, ended, extended, reached, require_used_up
from sweeps.budget import extend as add_trials
from sweeps.directory import SweepDirectory
from sweeps.events import OnEvent
from sweeps.ledger import Ledger, Trial
from sweeps.proposals.confirm import Repeat, missing
from sweeps.proposals.limits import Counted
from sweeps.proposals.prior import observed, require_comparable
from sweeps.proposals.prune import scheduler
from sweeps.proposals.search import ListSearch, StudySearch, open_storage
from sweeps.results import (
    Row,
    SweepResult,
    choice,
    export_best,
    leaderboard,
    ranked,
    write_leaderboard,
)
from sweeps.running import SweepFailedError, run_session
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.space import identity
from sweeps.watch import Watch

log = logging.getLogger(__name__)

_GENES = 8  # of made-up means


def tune(
    sweep: SweepConfig,
    *,
    address: str | None = None,
    extend: int | None = None,
    report: OnEvent = lambda event: None,
) -> SweepResult:
    """Run a sweep, or continue it; a finished sweep only returns its result.

    Args:
        sweep: What to search.
        address: Of a Ray cluster; default RAY_ADDRESS, else Ray starts on this machine.
        extend: Trials to add to a budget that is used up.
        report: Receives what happens to each trial.

    Raises:
        ValueError: The directory holds another sweep, a split is empty on this store, the store
            or the cluster does not fit, another process runs the sweep, or `extend` has nothing to
            add to.
        SweepFailedError: Too many trials failed, or none finished all splits.
    """
    phase(log, "checking the store and the splits")
    fingerprint = check_data(sweep)
    directory = SweepDirectory(sweep.directory)
    ledger = directory.ledger
    if extend is not None:
        require_used_up(sweep, ledger)
        with _held(sweep, directory, fingerprint=fingerprint):
            sweep = add_trials(sweep, ledger, more=extend)
    sweep = extended(sweep, ledger)
    if not _pending(sweep, ledger) and not _repeats(sweep, ledger):
        with _held(sweep, directory, fingerprint=fingerprint):
            return _conclude(sweep, ledger)
    needs = _needs(sweep, fingerprint=fingerprint)
    check_here(needs, address=address)
    with session(address):
        # What the cluster could never run is refused before anything is written.
        check_nodes(replace(needs, pieces=concurrent(sweep)))
        with _held(sweep, directory, fingerprint=fingerprint):
            try:
                if _pending(sweep, ledger):
                    phase(log, "starting trials")
                    _run_trials(sweep, ledger=ledger, report=report)
                if repeats := _repeats(sweep, ledger):
                    phase(log, "training the best with further seeds")
                    _run_repeats(sweep, repeats, ledger=ledger, report=report)
            finally:
                _ranked(sweep, ledger)
            return _conclude(sweep, ledger)


def _needs(sweep: SweepConfig, *, fingerprint: str) -> Needs:
    """What the sweep needs of the nodes of its trials."""
    store = sweep.run({}, split=0).store
    return Needs(
        outputs=(sweep.directory.parent,),
        store=url_of(store) or str(Path(store).absolute()),
        fingerprint=fingerprint,
        gpu=sweep.resources.gpu > 0,
        cpus=sweep.resources.cpu,
    )


@contextmanager
def _held(sweep: SweepConfig, directory: SweepDirectory, *, fingerprint: str) -> Iterator[None]:
    """Be the only process in the sweep's directory, and check that it holds this sweep."""
    with directory.held():
        begun = bool(directory.ledger.trials())
        directory.lock.take(sweep, fingerprint=fingerprint, begun=begun)
        directory.ledger.mend()
        yield


def _pending(sweep: SweepConfig, ledger: Ledger) -> bool:
    """Whether the budget allows any more work.

    Trials that a kill left open are ended though enough others found nothing better: without the
    kill they would have been, and one of them may be the best.
    """
    over = Spent.of(sweep, ledger).over(sweep.budget)
    return over is None or (over == NO_GAIN and any(not one.over for one in ledger.trials()))


def check_data(sweep: SweepConfig) -> str:
    """Find bad input before any trial starts; return the store's fingerprint."""
    require_watchers(sweep.run({}, split=0).watch)
    with _open_store(sweep.run({}, split=0).store) as store:
        Counted(sweep).require_first()
        for split in range(len(sweep.splits)):
            for run in _differing_inputs(sweep, split=split):
                require_inputs(run, store)
            _require_metric(sweep, store, split=split)
        require_comparable(sweep, fingerprint=store.fingerprint)
        return store.fingerprint


def _open_store(address: str) -> Store:
    try:
        return Store.open(address)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"expected a store at {address}, found nothing there; ingest one there, or name where "
            "it is with --set base.store=PATH"
        ) from error


def _require_metric(sweep: SweepConfig, store: Store, *, split: int) -> None:
    """Refuse a metric that no validation round could have on these units, whatever is predicted."""
    run, name = sweep.run({}, split=split), sweep.objective.metric
    cells = validation_cells(
        planned_split(run, store), store, units=run.validation.units, seed=run.seed
    )
    if not cells or run.validation.folds is not None:
        return
    units = [store.units[one.unit] for one in cells]
    draw = numpy_generator(0, "any prediction")
    predicted, real = draw.normal(size=(2, len(units), _GENES))
    anything = Pseudobulks(
        contexts=tuple(unit.context for unit in units),
        conditions=tuple(str(number) for number in range(len(units))),
        genes=tuple(f"gene {number}" for number in range(_GENES)),
        predicted=predicted,
        real=real,
        control=np.zeros_like(real),
    )
    if not np.isfinite(METRICS[name].values(anything)).any():
        count = "1 unit" if len(units) == 1 else f"{len(units)} units"
        raise ValueError(
            f"objective.metric {name} is undefined on the {count} that validate on split {split} "
            f"({run.split.kind}); choose another metric, or a split that validates on more"
        )


def _differing_inputs(sweep: SweepConfig, *, split: int) -> list[RunConfig]:
    """Runs of the sweep on a split, one for each list of edges or model to start from."""
    runs = [sweep.run(one, split=split) for one in sweep.samples()]
    # The size of the network matters only with weights to start from.
    kinds = {(run.graph, run.init_from, run.model if run.init_from else None): run for run in runs}
    return list(kinds.values())


def left_of(sweep: SweepConfig, ledger: Ledger) -> int:
    """Trials that the budget still allows, those to continue included."""
    return sweep.budget.trials - ended(ledger.trials())


def _seconds_left(sweep: SweepConfig, ledger: Ledger) -> float | None:
    """Time that the budget still allows; None without a limit."""
    if sweep.budget.hours is None:
        return None
    return max(0.0, (sweep.budget.hours - ledger.hours()) * 3600)


def _run_trials(sweep: SweepConfig, *, ledger: Ledger, report: OnEvent) -> None:
    """Spend what is left of the budget.

    Raises:
        SweepFailedError: Too many trials failed.
    """
    at_once, directory = concurrent(sweep), SweepDirectory(sweep.directory)
    locked = directory.lock.read()
    earlier = ledger.trials()
    left, seconds = left_of(sweep, ledger), _seconds_left(sweep, ledger)
    ledger.write(
        {
            "event": "session",
            "trials": sweep.budget.trials,
            "concurrent": at_once,
            "devices": devices(sweep),
        }
    )
    watch = Watch(sweep, ledger=ledger, report=report)
    search = StudySearch(
        sweep,
        storage=open_storage(directory.study),
        name=locked.study_name if locked is not None else sweep.name,
        earlier=[trial.configuration for trial in earlier],
        first=_first(sweep, earlier, ending=Spent.of(sweep, ledger).over(sweep.budget) == NO_GAIN),
        observed=()
        if earlier or locked is None
        else observed(sweep, fingerprint=locked.store_fingerprint),
        trials=left,
        enough=lambda: reached(sweep.budget.no_gain, watch.no_gain),
    )
    run_session(
        sweep,
        watch=watch,
        search=search,
        scheduler=scheduler(sweep, earlier=earlier),
        at_once=at_once,
        trials=sweep.budget.trials,
        seconds=seconds,
        spent=lambda: reached(sweep.budget.device_hours, watch.device_hours),
    )
    if search.left_out:
        log.info("%d configurations need more than limits allow", search.left_out)


def _repeats(sweep: SweepConfig, ledger: Ledger) -> list[Repeat]:
    """What is to be trained with further seeds."""
    best = [trial.configuration for trial in ranked(sweep, ledger.trials())]
    return missing(sweep, best, repeats=ledger.repeats())


def _run_repeats(
    sweep: SweepConfig, repeats: Sequence[Repeat], *, ledger: Ledger, report: OnEvent
) -> None:
    """Train the best and the base with further seeds, none of them pruned.

    Raises:
        SweepFailedError: Too many of them failed.
    """
    at_once = concurrent(sweep)
    ledger.write({"event": "session", "confirming": True, "concurrent": at_once})
    run_session(
        sweep,
        watch=Watch(sweep, ledger=ledger, report=report, repeats=repeats),
        search=ListSearch([one.configuration for one in repeats]),
        scheduler=FIFOScheduler(),  # type: ignore[no-untyped-call]
        at_once=at_once,
        trials=len(repeats),
    )


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
    require(
        at_once,
        what="trial",
        cpus=cpu,
        gpus=gpu,
        remedy=f"lower {' or '.join(settings)} (in the file, or by --set)",
    )
    return fits(cpus=cpu, gpus=gpu) if auto else at_once


def _first(
    sweep: SweepConfig, earlier: Sequence[Trial], *, ending: bool = False
) -> list[Configuration]:
    """What to run before anything is proposed: a list, or interrupted trials and the base.

    Args:
        sweep: The sweep.
        earlier: Trials that have begun.
        ending: Only what has begun is to end.
    """
    if ending:
        return [trial.configuration for trial in earlier if not trial.over]
    if sweep.configurations:
        over = {identity(trial.configuration) for trial in earlier if trial.over}
        return [one for one in sweep.listed.values() if identity(one) not in over]
    begun = [identity(trial.configuration) for trial in earlier]
    first = [trial.configuration for trial in earlier if not trial.over]
    if sweep.search.baseline_first and identity(sweep.baseline) not in begun:
        first.insert(0, sweep.baseline)
    return [*first, *(one for one in sweep.enqueued if identity(one) not in begun)]


def _conclude(sweep: SweepConfig, ledger: Ledger) -> SweepResult:
    """Write the leaderboard and export the best.

    Raises:
        SweepFailedError: No trial finished all splits.
    """
    over = Spent.of(sweep, ledger).over(sweep.budget)
    if over not in (None, "budget.trials"):
        log.info("%s is used up: the sweep has ended", over)
    rows = _ranked(sweep, ledger)
    if not rows or rows[0].rank is None:
        raise SweepFailedError(
            f"none of {len(rows)} trials finished all {len(sweep.splits)} splits; raise "
            f"{over or 'budget.trials'}, or see {ledger.path}"
        )
    for row in rows:
        if row.state == "pruned":
            for run in row.directory.glob("split-*"):
                RunDirectory(run).forget_states()
    best = export_best(sweep, rows[0])
    warn_if_untrained(best)
    chosen = choice(sweep, rows)
    write_json(SweepDirectory(sweep.directory).choice, {"trial": rows[0].trial, "choice": chosen})
    return SweepResult(directory=sweep.directory, leaderboard=rows, best_model=best, choice=chosen)


def _ranked(sweep: SweepConfig, ledger: Ledger) -> tuple[Row, ...]:
    """The leaderboard, also as a file."""
    rows = leaderboard(sweep, ledger.trials(), ledger.repeats())
    write_leaderboard(rows, path=SweepDirectory(sweep.directory).leaderboard)
    return rows
