"""A whole sweep: Ray Tune runs the trials; our own files record what happened.

A restart needs nothing from Tune: the ledger knows which trials are over, runs continue from
their own checkpoints, and Optuna's study remembers every proposal.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ray.tune.schedulers import FIFOScheduler

from cluster.nodes.examine import Needs
from cluster.nodes.preflight import check_here, check_nodes
from cluster.nodes.stall import forget_living
from cluster.session import amounts, session
from cluster.storage.places import named
from scdfm.screen.address import url_of
from scdfm.screen.progress import phase
from sweeps.budget import (
    NO_GAIN,
    Spent,
    devices,
    ended,
    extended,
    reached,
    require_used_up,
    why_over,
)
from sweeps.budget import extend as add_trials
from sweeps.directory import SweepDirectory
from sweeps.events import OnEvent
from sweeps.ledger import Ledger, Trial
from sweeps.lock import say_if_renamed
from sweeps.proposals.cells import check_data
from sweeps.proposals.confirm import Repeat, failed_before, missing
from sweeps.proposals.prior import observed
from sweeps.proposals.prune import say_if_base_is_pruned, scheduler
from sweeps.proposals.search import ListSearch, StudySearch
from sweeps.proposals.storage import answering, open_storage
from sweeps.results import SweepResult, finalists, leaderboard
from sweeps.room import concurrent
from sweeps.running import run_session
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.space import identity
from sweeps.watch import Watch
from sweeps.watching.hparams import HyperParameters
from sweeps.winners.concluded import conclude, ranked
from sweeps.winners.final import final_due, run_final
from sweeps.winners.records import final
from sweeps.winners.rule import note_rule

log = logging.getLogger(__name__)


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
        StudyAwayError: The study's database does not answer any more.
    """
    directory = SweepDirectory(sweep.directory).fetch()
    ledger = directory.ledger
    say_if_base_is_pruned(ledger.trials())
    if extend is not None:
        require_used_up(sweep, ledger)  # before cells are read
    phase(log, "checking the store and the splits")
    fingerprint = check_data(sweep)
    if not ledger.path.is_file():
        say_if_renamed(sweep, fingerprint=fingerprint)
    if extend is not None:
        with _held(sweep, directory, fingerprint=fingerprint):
            sweep = add_trials(sweep, ledger, more=extend)
    sweep = extended(sweep, ledger)
    if nothing_left(sweep, ledger):
        with _held(sweep, directory, fingerprint=fingerprint):
            _say_nothing_is_left(sweep, ledger)
            return _closed(sweep, ledger, conclude(sweep, ledger))
    report = HyperParameters.of(sweep).beside(report)
    needs = _needs(sweep, fingerprint=fingerprint)
    check_here(needs, address=address)
    with session(address):
        # What the cluster could never run is refused before anything is written.
        check_nodes(replace(needs, pieces=concurrent(sweep)))
        with _held(sweep, directory, fingerprint=fingerprint):
            try:
                if _pending(sweep, ledger):
                    phase(log, "starting trials")
                    with answering(sweep):
                        _run_trials(sweep, ledger=ledger, report=report)
                if repeats := _repeats(sweep, ledger):
                    phase(log, "training the best with further seeds")
                    _run_repeats(sweep, repeats, ledger=ledger, report=report)
            finally:
                ranked(sweep, ledger)
            result = conclude(sweep, ledger)
            if final_due(sweep, result.leaderboard):
                _test(sweep, result, fingerprint=fingerprint)
            return _closed(sweep, ledger, result)


def _test(sweep: SweepConfig, result: SweepResult, *, fingerprint: str) -> None:
    """Score on test conditions; whatever becomes of that, the choice is kept."""
    phase(log, "scoring the winner and the base on test conditions")
    try:
        run_final(sweep, result.leaderboard, fingerprint=fingerprint)
    except Exception:
        log.warning(
            "test scores are missing; trial %d stays the winner, in %s: tune again for them alone",
            result.best.trial,
            named(result.best_model),
        )
        raise


def _closed(sweep: SweepConfig, ledger: Ledger, result: SweepResult) -> SweepResult:
    """Say that all is done, and add test scores to the result."""
    ledger.close()
    if sweep.final is None:
        return result
    return result._replace(final=final(SweepDirectory(sweep.directory)))


def _say_nothing_is_left(sweep: SweepConfig, ledger: Ledger) -> None:
    """Say why a sweep has nothing to do; `conclude` does of other budgets than trials."""
    if Spent.of(sweep, ledger).over(sweep.budget) == "budget.trials":
        log.info(why_over(sweep, ledger))


def _needs(sweep: SweepConfig, *, fingerprint: str) -> Needs:
    """What the sweep needs of the nodes of its trials."""
    store = sweep.run({}, split=0).store
    return Needs(
        outputs=(named(sweep.directory.parent),),
        store=url_of(store) or str(Path(store).absolute()),
        fingerprint=fingerprint,
        gpu=sweep.resources.gpu > 0,
        without_gpu="set resources.gpu to 0, and resources.cpu to what a machine has (a trial "
        f"takes {amounts(sweep.resources.cpu, sweep.resources.gpu)} now): "
        "--set resources.gpu=0 --set resources.cpu=1",
        cpus=sweep.resources.cpu,
    )


@contextmanager
def _held(sweep: SweepConfig, directory: SweepDirectory, *, fingerprint: str) -> Iterator[None]:
    """Be the only process in the sweep's directory, and check that it holds this sweep."""
    with directory.held():
        begun = bool(directory.ledger.trials())
        directory.lock.take(sweep, fingerprint=fingerprint, begun=begun)
        directory.ledger.mend()
        note_rule(directory.ledger, sweep.confirm)
        try:
            yield
        finally:
            # Trials and tests have ended; some were killed before they took their files away.
            forget_living(directory.path)


def nothing_left(sweep: SweepConfig, ledger: Ledger) -> bool:
    """Whether a sweep, as its budget was extended, has nothing to train or to test any more."""
    return not (_pending(sweep, ledger) or _repeats(sweep, ledger) or _untested(sweep, ledger))


def _pending(sweep: SweepConfig, ledger: Ledger) -> bool:
    """Whether the budget allows any more work.

    Trials that a kill left open are ended though enough others found nothing better: without the
    kill they would have been, and one of them may be the best.
    """
    over = Spent.of(sweep, ledger).over(sweep.budget)
    return over is None or (over == NO_GAIN and any(not one.over for one in ledger.trials()))


def left_of(sweep: SweepConfig, ledger: Ledger) -> int:
    """Trials that the budget still allows, those to continue included."""
    return sweep.budget.trials - ended(ledger.trials())


def to_come(sweep: SweepConfig, ledger: Ledger) -> int:
    """Trials that will run, at most, as far as is known now; none once any budget is used up.

    Where enough found nothing better these are the ones that have begun: more follow only if one
    of them is better.
    """
    if not _pending(sweep, ledger):
        return 0
    left = left_of(sweep, ledger)
    if Spent.of(sweep, ledger).over(sweep.budget) is None:
        return left
    return min(left, sum(not one.over for one in ledger.trials()))


def seconds_left(sweep: SweepConfig, ledger: Ledger) -> float | None:
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
    left, seconds = left_of(sweep, ledger), seconds_left(sweep, ledger)
    ledger.write(
        {
            "event": "session",
            "trials": sweep.budget.trials,
            "hours": sweep.budget.hours,
            "concurrent": at_once,
            "devices": devices(sweep),
        }
    )
    numbers: dict[str, int] = {}
    watch = Watch(
        sweep, ledger=ledger, report=report, numbers=numbers, at_once=at_once, seconds=seconds
    )
    search = StudySearch(
        sweep,
        storage=open_storage(sweep),
        name=locked.study_name if locked is not None else sweep.name,
        earlier=earlier,
        first=queued(sweep, earlier, ending=Spent.of(sweep, ledger).over(sweep.budget) == NO_GAIN),
        observed=()
        if earlier or locked is None
        else observed(sweep, fingerprint=locked.store_fingerprint),
        trials=left,
        enough=lambda: reached(sweep.budget.no_gain, watch.no_gain),
        numbers=numbers,
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


def _untested(sweep: SweepConfig, ledger: Ledger) -> bool:
    """Whether test scores are missing."""
    if sweep.final is None:
        return False
    return final_due(sweep, leaderboard(sweep, ledger.trials(), ledger.repeats()))


def _repeats(sweep: SweepConfig, ledger: Ledger) -> list[Repeat]:
    """What is to be trained with further seeds."""
    best = [trial.configuration for trial in finalists(sweep, ledger.trials())]
    return missing(sweep, best, repeats=ledger.repeats())


def _run_repeats(
    sweep: SweepConfig, repeats: Sequence[Repeat], *, ledger: Ledger, report: OnEvent
) -> None:
    """Train the best and the base with further seeds, none of them pruned.

    Raises:
        SweepFailedError: Too many of them failed.
    """
    at_once = concurrent(sweep)
    known = ledger.repeats()
    again = failed_before(repeats, repeats=known)
    every = sum(one.over for one in known) - len(again) + len(repeats)
    ledger.write(
        {
            "event": "session",
            "confirming": True,
            "again": again,
            "trials": every,
            "concurrent": at_once,
            "devices": devices(sweep),
        }
    )
    run_session(
        sweep,
        watch=Watch(sweep, ledger=ledger, report=report, repeats=repeats, at_once=at_once),
        search=ListSearch([one.configuration for one in repeats]),
        scheduler=FIFOScheduler(),  # type: ignore[no-untyped-call]
        at_once=at_once,
        trials=every,
    )


def queued(
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
