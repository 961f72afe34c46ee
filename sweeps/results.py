"""What a sweep found: the leaderboard, and the best model with all that it needs."""

import csv
import io
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from cluster.runs.find_model import MODEL
from cluster.settings.config import write_run
from scdfm.screen.atomic import replaced_directory, write_text
from sweeps.directory import SweepDirectory
from sweeps.ledger import State, Trial
from sweeps.proposals.confirm import Verdict, base_scores, confirmed, scores, verdicts
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.space import split_run


class Row(BaseModel, frozen=True, extra="forbid"):
    """One trial on the leaderboard."""

    rank: int | None  # from 1; none without a value on every split
    trial: int  # in the order in which trials began
    name: str | None = None  # of a listed configuration
    baseline: bool
    state: State  # "running": the sweep was stopped in the middle of it
    value: float | None  # mean over all splits
    splits: tuple[float | None, ...]
    configuration: Configuration
    seconds: float
    error: str | None
    directory: Path
    over_seeds: float | None = None  # mean over all splits and seeds, of one that was confirmed
    verdict: Verdict | None = None  # how it differs from the base


class SweepResult(NamedTuple):
    """The result of a sweep."""

    directory: Path
    leaderboard: tuple[Row, ...]
    best_model: Path
    choice: str = ""  # which trial is best and how sure that is

    @property
    def best(self) -> Row:
        """The winner."""
        return self.leaderboard[0]


def leaderboard(
    sweep: SweepConfig, trials: Sequence[Trial], repeats: Sequence[Trial] = ()
) -> tuple[Row, ...]:
    """Rank the trials that finished all splits; the others follow without a rank.

    Of those that were confirmed, the mean over all seeds counts, and the best of them is first.

    Args:
        sweep: The sweep.
        trials: Of its search.
        repeats: Their further seeds.
    """
    whole = ranked(sweep, trials)
    rest = [one for one in trials if not _complete(one, sweep)]
    own = sweep.run({}, split=0).seed
    known = {one.key: scores(one, own=own, repeats=repeats) for one in trials}
    means = {one.key: confirmed(sweep, known[one.key]) for one in whole}
    base = base_scores(sweep, repeats) | next(
        (dict(known[one.key]) for one in trials if one.baseline), {}
    )
    found = verdicts(
        {one.key: known[one.key] for one in trials if not one.baseline},
        base,
        own=own,
        compared=_compared(trials),
    )
    order = _confirmed_first(sweep, whole, means=means)
    rows = [_row(sweep, trial, rank=rank) for rank, trial in enumerate(order, start=1)]
    rows += [_row(sweep, trial, rank=None) for trial in rest]
    return tuple(
        row.model_copy(update={"over_seeds": means.get(one.key), "verdict": found.get(one.key)})
        for row, one in zip(rows, [*order, *rest], strict=True)
    )


def _compared(trials: Sequence[Trial]) -> int:
    """Trials that the best was chosen from, without the base; pruned ones were compared, too."""
    over = [one for one in trials if one.state in ("complete", "pruned") and not one.baseline]
    return max(1, len(over))


def ranked(sweep: SweepConfig, trials: Sequence[Trial]) -> list[Trial]:
    """The trials that finished all splits, the best first, by their first seed."""
    whole = [one for one in trials if _complete(one, sweep)]
    return sorted(whole, key=lambda trial: (_sign(sweep) * trial.mean, trial.number))


def _confirmed_first(
    sweep: SweepConfig, whole: Sequence[Trial], *, means: dict[str, float | None]
) -> list[Trial]:
    """Trials in their final order.

    The base is trained with further seeds wherever it stands. It is among the best only if it was
    before, or if it is better than one of them over all seeds.
    """
    top = [] if sweep.confirm is None else list(whole[: sweep.confirm.top])
    over_seeds = {one.key: mean for one in whole if (mean := means[one.key]) is not None}
    best = [one for one in top if one.key in over_seeds]
    base = next((one for one in whole if one.baseline and one.key in over_seeds), None)
    if base is not None and base not in best and best:
        worst = max(_sign(sweep) * over_seeds[one.key] for one in best)
        best += [base] if _sign(sweep) * over_seeds[base.key] < worst else []
    best.sort(key=lambda one: (_sign(sweep) * over_seeds[one.key], one.number))
    return [*best, *(one for one in whole if one not in best)]


def _sign(sweep: SweepConfig) -> int:
    return 1 if sweep.objective.direction == "min" else -1


def _complete(trial: Trial, sweep: SweepConfig) -> bool:
    every = trial.values.keys() == set(range(len(sweep.splits)))
    return trial.state == "complete" and every and math.isfinite(trial.mean)


def _row(sweep: SweepConfig, trial: Trial, *, rank: int | None) -> Row:
    return Row(
        rank=rank,
        trial=trial.number,
        name=sweep.name_of(trial.configuration),
        baseline=trial.baseline,
        state=trial.state,
        value=trial.mean if rank is not None else None,
        splits=tuple(trial.values.get(split) for split in range(len(sweep.splits))),
        configuration=trial.configuration,
        seconds=trial.seconds,
        error=trial.error,
        directory=SweepDirectory(sweep.directory).trial(trial.key),
    )


def choice(sweep: SweepConfig, rows: Sequence[Row]) -> str:
    """Which trial is best and how sure that is, in a sentence.

    Args:
        sweep: The sweep.
        rows: Its leaderboard; the first has a rank.
    """
    best, metric = rows[0], sweep.objective.metric
    named = f"trial {best.trial}" + (f" ({best.name})" if best.name else "")
    if best.baseline:
        return f"{named}, the base itself, is the best"
    finished = any(row.baseline and row.rank is not None for row in rows)
    if best.verdict is None and not finished:
        return f"{named} is the best; the base did not finish all splits to compare with"
    if best.verdict is None:
        return (
            f"{named} is the best; one split and one seed cannot tell whether it is better than "
            "the base: add splits, or confirm: {top: 3, seeds: 3}"
        )
    verdict, sign = best.verdict, _sign(sweep)
    found = (
        "and the base tie"
        if verdict.tie
        else "is better than the base"
        if sign * verdict.difference < 0
        else "is worse than the base"
    )
    seeds = "further seed" if verdict.further else "seed"
    among = f", chosen among {verdict.among} trials" if verdict.among > 1 else ""
    return (
        f"{named} {found}: {metric} {verdict.difference:+.3g} (95 % {verdict.low:.3g} to "
        f"{verdict.high:.3g}, {verdict.pairs} pairs of split and {seeds}{among})"
    )


def write_leaderboard(rows: Sequence[Row], *, path: Path) -> None:
    """Write the leaderboard as CSV, a column for each split and each setting that is tried."""
    text = io.StringIO()
    writer = csv.writer(text)
    splits = len(rows[0].splits) if rows else 0
    names = list(rows[0].configuration) if rows else []
    columns = [*(f"split {split}" for split in range(splits)), *names]
    named = ("name",) if any(row.name for row in rows) else ()
    seeds = ("over_seeds",) if any(row.over_seeds is not None for row in rows) else ()
    head = ("rank", "trial", *named, "state", "baseline", "value", *seeds)
    tail = ("seconds", "error", "directory")
    parts = ("difference", "low", "high", "pairs", "among")
    compared = parts if any(row.verdict for row in rows) else ()
    writer.writerow([*head, *columns, *compared, *tail])
    for row in rows:
        cells = [*row.splits, *(row.configuration[name] for name in names)]
        cells += [getattr(row.verdict, name, None) for name in compared]
        first, last = ([getattr(row, name) for name in part] for part in (head, tail))
        writer.writerow([*first, *cells, *last])
    write_text(path, text.getvalue())


def export_best(sweep: SweepConfig, best: Row) -> Path:
    """Copy the winner's models out of its trial, and write its settings as a run file.

    Returns:
        The model of the first split, `best/`; those of other splits are `best-splits/N/`.
    """
    runs = [split_run(sweep, best.configuration, split=split) for split in range(len(sweep.splits))]
    first, *others = [run.directory / MODEL for run in runs]
    directory = SweepDirectory(sweep.directory)
    if others:
        with replaced_directory(directory.best_splits) as draft:
            for split, model in enumerate(others, start=1):
                shutil.copytree(model, draft / str(split))
    again = runs[0].model_copy(update={"name": f"{sweep.name}-best", "output": sweep.output})
    write_run(again, directory.best_run)
    with replaced_directory(directory.best) as draft:
        shutil.copytree(first, draft, dirs_exist_ok=True)
    return directory.best
