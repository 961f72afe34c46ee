"""How a search ends: its board, the winner's models, and what is said of them."""

import logging
from collections.abc import Sequence
from pathlib import Path

from cluster.runs.directory import RunDirectory
from cluster.runs.find_model import RUN
from cluster.runs.history.journal import FILE as JOURNAL
from cluster.runs.whole.first_weights import equal_rounds, warn_if_untrained
from cluster.storage.wanted import these
from sweeps.budget import Spent
from sweeps.directory import SweepDirectory, forget_states
from sweeps.ledger import Ledger
from sweeps.proposals.confirm import SEED
from sweeps.results import (
    Chosen,
    Row,
    SweepResult,
    choice,
    export_best,
    finalists,
    leaderboard,
    write_choice,
    write_leaderboard,
)
from sweeps.running import SweepFailedError
from sweeps.schema.sweep import SweepConfig
from sweeps.watching.hparams import HyperParameters
from sweeps.winners.alike import alike

log = logging.getLogger(__name__)


def conclude(sweep: SweepConfig, ledger: Ledger) -> SweepResult:
    """Write the leaderboard and export the best.

    Raises:
        SweepFailedError: No trial finished all splits.
    """
    over = Spent.of(sweep, ledger).over(sweep.budget)
    if over not in (None, "budget.trials"):
        log.info("%s is used up: the sweep has ended", over)
    rows = ranked(sweep, ledger)
    if not rows or rows[0].rank is None:
        raise SweepFailedError(
            f"none of {len(rows)} trials finished all {len(sweep.splits)} splits; raise "
            f"{over or 'budget.trials'}, or see {ledger.path}"
        )
    directory = SweepDirectory(sweep.directory)
    for row in rows:
        if row.state == "pruned":
            for run in directory.runs(row.directory.name):
                forget_states(run)
    best = export_best(sweep, rows[0])
    chosen = choice(sweep, rows)
    chosen += _first_weights(best, directory.runs(rows[0].directory.name))
    for line in unconfirmed(sweep, ledger):
        log.warning(line)
    winner = Chosen(trial=rows[0].trial, choice=chosen, key=rows[0].directory.name)
    write_choice(winner, directory)
    HyperParameters.of(sweep).catch_up([*ledger.trials(), *ledger.repeats()])
    return SweepResult(
        directory=sweep.directory,
        leaderboard=rows,
        best_model=best,
        choice=chosen,
        alike=alike(directory, rows, metric=sweep.objective.metric),
    )


def unconfirmed(sweep: SweepConfig, ledger: Ledger) -> list[str]:
    """Which of the best, and the base, are not ranked among them: a further seed of it failed."""
    if sweep.confirm is None:
        return []
    trials = ledger.trials()
    best = {one.key for one in finalists(sweep, trials)[: sweep.confirm.top]}
    best |= {one.key for one in trials if one.baseline}  # wherever it stands
    return [
        f"trial {one.number} is not ranked among the best that were confirmed, since seed "
        f"{one.configuration[SEED]} of it failed: {one.error or 'its worker died'}; the same "
        "command tries that again"
        for one in ledger.repeats()
        if one.state == "failed" and one.confirms in best
    ]


def _first_weights(best: Path, runs: Sequence[RunDirectory]) -> str:
    """What to add to the choice if all models of the winner are those that training began with."""
    first = [run.best is not None and run.best.step == 0 for run in runs]
    # Of others the journals say nothing, and need not be fetched.
    known = [
        run.fetch(these(RUN, JOURNAL)) if untrained else run
        for run, untrained in zip(runs, first, strict=True)
    ]
    warn_if_untrained(best, run=known[0])
    if not all(first):
        return ""
    equal = equal_rounds(known)
    said = "; it is the untrained network: no round of its training scored better"
    return said if equal is None else f"{said} ({equal})"


def ranked(sweep: SweepConfig, ledger: Ledger) -> tuple[Row, ...]:
    """The leaderboard, also as a file."""
    rows = leaderboard(sweep, ledger.trials(), ledger.repeats())
    directory = SweepDirectory(sweep.directory)
    write_leaderboard(rows, path=directory.leaderboard)
    directory.publish()
    return rows
