"""What a sweep found: the leaderboard, and the best model with all that it needs."""

import csv
import io
import math
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel

from cluster.runs.directory import BEST, RunDirectory
from cluster.runs.find_model import MODEL
from cluster.runs.records import read_record
from cluster.settings.config import write_run
from cluster.storage.places import named
from cluster.storage.wanted import these
from scdfm.screen.atomic import replaced_directory, write_json, write_text
from sweeps.budget import devices
from sweeps.directory import SweepDirectory
from sweeps.ledger import State, Trial
from sweeps.proposals.confirm import Verdict, base_scores, confirmed, scores, verdicts
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.space import identity, split_run
from sweeps.winners.front import front, signed_values

if TYPE_CHECKING:
    from sweeps.winners.records import Final


class Row(BaseModel, frozen=True, extra="forbid"):
    """One trial on the leaderboard."""

    rank: int | None  # from 1; none without a value on every split
    trial: int  # in the order in which trials began
    name: str | None = None  # of a listed configuration
    baseline: bool
    state: State  # "running": the sweep was stopped in the middle of it
    value: float | None  # mean over all splits
    so_far: float | None = None  # without one: mean over the splits begun; do not compare it
    of_splits: int | None = None  # beside it: how many these are, the last one maybe not to its end
    splits: tuple[float | None, ...]
    configuration: Configuration
    seconds: float
    device_hours: float = 0.0  # the same, times GPUs or cores
    error: str | None
    directory: Path
    over_seeds: float | None = None  # mean over splits and further seeds, of one that was confirmed
    verdict: Verdict | None = None  # how it differs from the base
    further: dict[str, float | None] = {}  # means by further metrics of the objective
    front: bool = False  # no other trial beats it in one metric without losing in another

    @property
    def sd(self) -> float | None:
        """Standard deviation of its splits; None of fewer than two."""
        known = [value for value in self.splits if value is not None]
        return stdev(known) if len(known) > 1 else None


class Chosen(BaseModel, frozen=True, extra="ignore"):
    """choice.json: which trial is best, and how sure that is."""

    trial: int
    choice: str
    key: str | None = None  # the trial's folder in trials/; versions before wrote none


class SweepResult(NamedTuple):
    """The result of a sweep."""

    directory: Path
    leaderboard: tuple[Row, ...]
    best_model: Path
    choice: str = ""  # which trial is best and how sure that is
    final: "Final | None" = None  # test scores, where the sweep asks for them
    alike: str | None = None  # that all finished trials score the same, and why; none: they differ

    @property
    def best(self) -> Row:
        """The winner."""
        return self.leaderboard[0]


def leaderboard(
    sweep: SweepConfig, trials: Sequence[Trial], repeats: Sequence[Trial] = ()
) -> tuple[Row, ...]:
    """Rank the trials that finished all splits; the others follow without a rank.

    Of those that were confirmed, the mean over further seeds counts, and the best of them is first;
    with several metrics it is on the front. The base is before others that are no better.

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
    best = finalists(sweep, trials)
    order = _confirmed_first(sweep, whole, best, means=means)
    on_front = {one.key for one in best} if sweep.objective.further else set()
    names = {identity(one): name for name, one in sweep.listed.items()}
    ranks = [*range(1, len(order) + 1), *[None] * len(rest)]
    rows = [
        _row(sweep, trial, rank=rank, name=names.get(identity(trial.configuration)))
        for trial, rank in zip([*order, *rest], ranks, strict=True)
    ]
    return tuple(
        row.model_copy(
            update={
                "over_seeds": means.get(one.key),
                "verdict": found.get(one.key),
                "front": one.key in on_front,
            }
        )
        for row, one in zip(rows, [*order, *rest], strict=True)
    )


def _compared(trials: Sequence[Trial]) -> int:
    """Trials that the best was chosen from, without the base; pruned ones were compared, too."""
    over = [one for one in trials if one.state in ("complete", "pruned") and not one.baseline]
    return max(1, len(over))


def best_of(
    sweep: SweepConfig, trials: Sequence[Trial], repeats: Sequence[Trial] = ()
) -> Trial | None:
    """The first trial of the board, without the rest of it; None: none finished all splits."""
    whole = ranked(sweep, trials)
    if sweep.confirm is not None and repeats:
        own = sweep.run({}, split=0).seed
        known = {one.key: scores(one, own=own, repeats=repeats) for one in whole}
        means = {key: confirmed(sweep, one) for key, one in known.items()}
        whole = _confirmed_first(sweep, whole, finalists(sweep, trials), means=means)
    return whole[0] if whole else None


def ranked(sweep: SweepConfig, trials: Sequence[Trial]) -> list[Trial]:
    """The trials that finished all splits, the best first, by their first seed."""
    whole = [one for one in trials if _complete(one, sweep)]
    # Equal by the first metric, what is better by the next is first: the first is on the front.
    # The base is before others that are no better, wherever the search had it.
    objective = sweep.objective
    return sorted(
        whole,
        key=lambda trial: (
            *signed_values(trial, objective=objective),
            not trial.baseline,
            trial.number,
        ),
    )


def finalists(sweep: SweepConfig, trials: Sequence[Trial]) -> list[Trial]:
    """The trials that may be called best, the best first, by their first seed.

    With several metrics these are the front: what another trial beats in all is no trade-off.
    """
    whole = ranked(sweep, trials)
    return front(whole, objective=sweep.objective) if sweep.objective.further else whole


def _confirmed_first(
    sweep: SweepConfig,
    whole: Sequence[Trial],
    finalists: Sequence[Trial],
    *,
    means: dict[str, float | None],
) -> list[Trial]:
    """Trials in their final order.

    The base is trained with further seeds wherever it stands. It is among the best only if it was
    before, or if it may be called best and is as good as one of them over further seeds.
    """
    top = [] if sweep.confirm is None else list(finalists[: sweep.confirm.top])
    over_seeds = {one.key: mean for one in whole if (mean := means[one.key]) is not None}
    best = [one for one in top if one.key in over_seeds]
    base = next((one for one in finalists if one.baseline and one.key in over_seeds), None)
    if base is not None and base not in best and best:
        worst = max(sweep.objective.sign * over_seeds[one.key] for one in best)
        best += [base] if sweep.objective.sign * over_seeds[base.key] <= worst else []
    best.sort(
        key=lambda one: (
            sweep.objective.sign * over_seeds[one.key],
            not one.baseline,
            one.number,
        )
    )
    return [*best, *(one for one in whole if one not in best)]


def _complete(trial: Trial, sweep: SweepConfig) -> bool:
    every = trial.values.keys() == set(range(len(sweep.splits)))
    return trial.state == "complete" and every and math.isfinite(trial.mean)


def _row(sweep: SweepConfig, trial: Trial, *, rank: int | None, name: str | None) -> Row:
    return Row(
        rank=rank,
        trial=trial.number,
        name=name,
        baseline=trial.baseline,
        state=trial.state,
        value=trial.mean if rank is not None else None,
        so_far=trial.so_far if rank is None else None,
        of_splits=trial.begun if rank is None and trial.so_far is not None else None,
        further={
            one.metric: trial.mean_of(one.metric) if rank is not None else None
            for one in sweep.objective.further
        },
        splits=tuple(trial.values.get(split) for split in range(len(sweep.splits))),
        configuration=trial.configuration,
        seconds=trial.seconds,
        device_hours=devices(sweep) * trial.seconds / 3600,
        error=trial.error,
        directory=SweepDirectory(sweep.directory).trial(trial.key),
    )


def choice(sweep: SweepConfig, rows: Sequence[Row]) -> str:
    """Which trial is best and how sure that is, in a sentence; of several metrics by the first.

    Args:
        sweep: The sweep.
        rows: Its leaderboard; the first has a rank.
    """
    return _told(sweep, rows) + _front(sweep, rows)


def _front(sweep: SweepConfig, rows: Sequence[Row]) -> str:
    """Which trials are on the front; nothing of a sweep with one metric."""
    numbers = sorted(row.trial for row in rows if row.front)
    if not sweep.objective.further or not numbers:
        return ""
    names = " and ".join(sweep.objective.names)
    if len(numbers) == 1:
        return f"; it alone is on the front of {names}"
    return f"; on the front of {names}: trials {', '.join(map(str, numbers))}"


def _told(sweep: SweepConfig, rows: Sequence[Row]) -> str:
    best, metric = rows[0], sweep.objective.metric
    named = f"trial {best.trial}" + (f" ({best.name})" if best.name else "")
    if best.baseline:
        return f"{named}, the base itself, is the best"
    finished = any(row.baseline and row.rank is not None for row in rows)
    if best.verdict is None and not finished:
        pruned = any(row.baseline and row.state == "pruned" for row in rows)
        why = ": an older version pruned it" if pruned else ""
        return f"{named} is the best; the base did not finish all splits to compare with{why}"
    if best.verdict is None:
        return (
            f"{named} is the best; one split and one seed cannot tell whether it is better than "
            "the base: add splits, or confirm: {top: 3, seeds: 3}"
        )
    verdict, sign = best.verdict, sweep.objective.sign
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


def write_choice(chosen: Chosen, directory: SweepDirectory) -> None:
    """Write which trial is best."""
    write_json(directory.choice, chosen.model_dump(mode="json"))


def chosen(directory: SweepDirectory) -> Chosen | None:
    """Which trial was called best when the sweep last ended; None before that.

    Raises:
        ValueError: The file is damaged.
    """
    return read_record(directory.choice, Chosen)


def write_leaderboard(rows: Sequence[Row], *, path: Path) -> None:
    """Write the leaderboard as CSV, a column for each split and each setting that is tried."""
    text = io.StringIO()
    writer = csv.writer(text)
    splits = len(rows[0].splits) if rows else 0
    names = list(rows[0].configuration) if rows else []
    columns = [*(f"split {split}" for split in range(splits)), *names]
    called = ("name",) if any(row.name for row in rows) else ()
    seeds = ("over_seeds",) if any(row.over_seeds is not None for row in rows) else ()
    further = list(rows[0].further) if rows else []
    on_front = ("front",) if further else ()
    part = ("so_far", "of_splits") if any(row.so_far is not None for row in rows) else ()
    head = ("rank", "trial", *called, "state", "baseline", "value", "sd", *part, *seeds, *on_front)
    tail = ("seconds", "device_hours", "error", "directory")
    parts = ("difference", "low", "high", "pairs", "among")
    compared = parts if any(row.verdict for row in rows) else ()
    writer.writerow([*head, *further, *columns, *compared, *tail])
    for row in rows:
        cells: list[object] = [*(row.further[name] for name in further), *row.splits]
        cells += [row.configuration[name] for name in names]
        cells += [getattr(row.verdict, name, None) for name in compared]
        first, last = ([getattr(row, name) for name in some] for some in (head, tail))
        last[-1] = named(row.directory)
        writer.writerow([*first, *cells, *last])
    write_text(path, text.getvalue())


def export_best(sweep: SweepConfig, best: Row) -> Path:
    """Copy the winner's models out of its trial, and write its settings as a run file.

    Returns:
        The model of the first split, `best/`; those of other splits are `best-splits/N/`.
    """
    runs = [split_run(sweep, best.configuration, split=split) for split in range(len(sweep.splits))]
    needed = these(f"{MODEL}/", BEST)
    first, *others = [RunDirectory(run.directory).fetch(needed).path / MODEL for run in runs]
    directory = SweepDirectory(sweep.directory)
    again = runs[0].model_copy(update={"name": f"{sweep.name}-best", "output": sweep.output})
    # All is copied before anything is replaced: a full disk leaves the former winner whole.
    with ExitStack() as drafts:
        draft = drafts.enter_context(replaced_directory(directory.best))
        shutil.copytree(first, draft, dirs_exist_ok=True)
        if others:
            draft = drafts.enter_context(replaced_directory(directory.best_splits))
            for split, model in enumerate(others, start=1):
                shutil.copytree(model, draft / str(split))
        write_run(again, directory.best_run)
    directory.forget_best()
    return directory.best
