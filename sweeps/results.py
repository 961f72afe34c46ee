"""What a sweep found: the leaderboard, and the best model with all that is needed to use it."""

import csv
import io
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from cluster.runs.config import write_run
from cluster.runs.directory import MODEL
from sweeps.ledger import State, Trial
from sweeps.schema import Configuration, SweepConfig
from sweeps.space import split_run, trial_directory

LEADERBOARD, BEST, BEST_SPLITS, BEST_RUN = (
    "leaderboard.csv",
    "best",  # the model of the first split
    "best-splits",  # the models of the others, by the split's position
    "best.yaml",  # a run file: train the configuration again, elsewhere or for longer
)


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
    """What a sweep left behind."""

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
        directory=trial_directory(sweep, trial.key),
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
    draft = path.with_suffix(".tmp")
    draft.write_text(text.getvalue())
    os.replace(draft, path)


def export_best(sweep: SweepConfig, best: Row) -> Path:
    """Copy the winner's models out of its trial, and write its settings as a run file.

    Returns:
        The model of the first split, `best/`; those of other splits are `best-splits/N/`.
    """
    runs = [split_run(sweep, best.configuration, split=split) for split in range(len(sweep.splits))]
    first, *others = [run.directory / MODEL for run in runs]
    shutil.rmtree(sweep.directory / BEST_SPLITS, ignore_errors=True)
    for split, model in enumerate(others, start=1):
        _copy(model, sweep.directory / BEST_SPLITS / str(split))
    again = runs[0].model_copy(update={"name": f"{sweep.name}-best", "output": sweep.output})
    write_run(again, sweep.directory / BEST_RUN)
    _copy(first, sweep.directory / BEST)
    return sweep.directory / BEST


def _copy(model: Path, to: Path) -> None:
    draft = to.with_name(f"{to.name}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(model, draft)
    shutil.rmtree(to, ignore_errors=True)
    os.rename(draft, to)
