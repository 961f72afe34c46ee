"""Test scores of the winner and of the base, once a study has chosen; they choose nothing.

final.json is beside the board and not on it. With `retrain` a model first learns from its
validation conditions, too, for as many steps as the search found best, and with the weight of the
flow and the width of intervals that validation has told.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scdfm.metrics.registry import METRICS
from scdfm.screen.atomic import write_json
from sweeps.directory import SweepDirectory
from sweeps.proposals.confirm import Verdict, compare
from sweeps.results import Row
from sweeps.schema.sweep import SweepConfig
from sweeps.winners.records import Final, FinalTrial, final
from sweeps.winners.testing import Job, tested

log = logging.getLogger(__name__)


class _Wanted(NamedTuple):
    winner: int
    base: int | None
    retrain: bool


def final_due(sweep: SweepConfig, rows: Sequence[Row]) -> bool:
    """Whether the sweep asks for test scores that are not there.

    Args:
        sweep: The sweep.
        rows: Its leaderboard.
    """
    if sweep.final is None or not rows or rows[0].rank is None:
        return False
    known = final(SweepDirectory(sweep.directory))
    if known is None:
        return True
    return _known(known) != _wanted(sweep, rows)


def _known(known: Final) -> _Wanted:
    return _Wanted(
        known.winner.trial, None if known.base is None else known.base.trial, known.retrain
    )


def _changed(before: _Wanted, now: _Wanted) -> str:
    """What differs from the last time, in words."""
    if now.winner != before.winner:
        return f"trial {now.winner} is the winner, not {before.winner}"
    if now.base != before.base:
        return "the base has not finished" if now.base is None else "the base has finished"
    return "final.retrain is " + ("set" if now.retrain else "not set any more")


def _wanted(sweep: SweepConfig, rows: Sequence[Row]) -> _Wanted:
    assert sweep.final is not None
    base = base_of(rows)
    return _Wanted(rows[0].trial, None if base is None else base.trial, sweep.final.retrain)


def base_of(rows: Sequence[Row]) -> Row | None:
    """The base, where it finished and is not the winner."""
    return next((row for row in rows[1:] if row.baseline and row.rank is not None), None)


def run_final(sweep: SweepConfig, rows: Sequence[Row], *, fingerprint: str) -> Final:
    """Test the winner and the base, side by side where there is room, and write what was found.

    Args:
        sweep: The sweep.
        rows: Its leaderboard; the first is the winner.
        fingerprint: Of the store.
    """
    assert sweep.final is not None
    directory, best, base = SweepDirectory(sweep.directory), rows[0], base_of(rows)
    before = final(directory)
    if before is not None:
        log.warning(
            "test conditions are scored again, now that %s; choose nothing by them",
            _changed(_known(before), _wanted(sweep, rows)),
        )
    directory.ledger.write({"event": "final"})
    jobs = [
        Job(row.trial, split, row.configuration, row.directory.name)
        for row in (best, base)
        if row is not None
        for split in range(len(sweep.splits))
    ]
    parts = tested(jobs, sweep=sweep, fingerprint=fingerprint)
    trials = {
        trial: FinalTrial(
            trial=trial, splits=tuple(parts[one.place] for one in jobs if one.trial == trial)
        )
        for trial in dict.fromkeys(one.trial for one in jobs)
    }
    found = concluded(
        sweep,
        trials[best.trial],
        None if base is None else trials[base.trial],
        looks=1 if before is None else before.looks + 1,
        is_base=best.baseline,
    )
    write_json(directory.final, found.model_dump(mode="json"))
    return found


def concluded(
    sweep: SweepConfig, winner: FinalTrial, base: FinalTrial | None, *, looks: int, is_base: bool
) -> Final:
    """What test scores say of the winner and the base."""
    assert sweep.final is not None
    differences = {} if base is None else _differences(winner, base)
    metric = sweep.objective.metric
    return Final(
        winner=winner,
        base=base,
        retrain=sweep.final.retrain,
        looks=looks,
        differences=differences,
        said=_told(sweep, winner, base, differences.get(metric), is_base=is_base),
    )


def _differences(winner: FinalTrial, base: FinalTrial) -> dict[str, Verdict | None]:
    names = [name for name in winner.splits[0].scores if name in base.splits[0].scores]
    return {
        name: compare(
            _defined(winner.by_condition(name)), _defined(base.by_condition(name)), further=False
        )
        for name in names
    }


def _defined(scores: Mapping[tuple[int, int], float]) -> dict[tuple[int, int], float]:
    return {key: value for key, value in scores.items() if value == value}


def _told(
    sweep: SweepConfig,
    winner: FinalTrial,
    base: FinalTrial | None,
    verdict: Verdict | None,
    *,
    is_base: bool,
) -> str:
    metric = sweep.objective.metric
    named = f"on test conditions trial {winner.trial}"
    if sweep.final is not None and sweep.final.retrain:
        named += ", retrained" if any(one.retrained for one in winner.splits) else ""
    value = f"{named} has {metric} {winner.mean(metric):.4g}"
    note = ", the untrained network" if winner.untrained else ""
    if base is None:
        why = "it is the base itself" if is_base else "the base did not finish to compare with"
        return f"{value}{note}; {why}"
    value += f"{note}, the base {base.mean(metric):.4g}"
    if verdict is None:
        return f"{value}; one condition cannot tell which is better"
    sign = METRICS[metric].mode == "min"
    better = "better" if (verdict.difference < 0) == sign else "worse"
    found = "a tie" if verdict.tie else better
    return (
        f"{value}: {found} ({verdict.difference:+.3g}, 95 % {verdict.low:.3g} to "
        f"{verdict.high:.3g} over {verdict.pairs} conditions)"
    )
