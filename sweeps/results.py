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


class SweepResult(NamedTuple):
    """The result of a sweep."""

    directory: Path
    leaderboard: tuple[Row, ...]
    best_model: Path

    @property
    def best(self) -> Row:
        """The winner."""
        return self.leaderboard[0]


def leaderboard(sweep: SweepConfig, trials: Sequence[Trial]) -> tuple[Row, ...]:
    """Rank the trials that finished all splits; the others follow without a rank."""
    whole = [one for one in trials if _complete(one, sweep)]
    rest = [one for one in trials if not _complete(one, sweep)]
    sign = 1 if sweep.objective.direction == "min" else -1
    whole.sort(key=lambda trial: (sign * trial.mean, trial.number))
    ranked = [_row(sweep, trial, rank=rank) for rank, trial in enumerate(whole, start=1)]
    return (*ranked, *(_row(sweep, trial, rank=None) for trial in rest))


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


def write_leaderboard(rows: Sequence[Row], *, path: Path) -> None:
    """Write the leaderboard as CSV, a column for each split and each setting that is tried."""
    text = io.StringIO()
    writer = csv.writer(text)
    splits = len(rows[0].splits) if rows else 0
    names = list(rows[0].configuration) if rows else []
    columns = [*(f"split {split}" for split in range(splits)), *names]
    named = ("name",) if any(row.name for row in rows) else ()
    head = ("rank", "trial", *named, "state", "baseline", "value")
    tail = ("seconds", "error", "directory")
    writer.writerow([*head, *columns, *tail])
    for row in rows:
        cells = [*row.splits, *(row.configuration[name] for name in names)]
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
