"""Sweeps from Python: a sweep from a dict, a file or a name, and its best model."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from cluster.door.model import TrainedModel, load_model
from sweeps.results import SweepResult
from sweeps.schema.files import make_sweep, read_sweep
from sweeps.schema.sweep import SweepConfig


class TunedSweep:
    """The result of a sweep.

    Attributes:
        directory: The sweep's.
        leaderboard: A row for each trial, the best first; further metrics and settings that were
            tried are columns.
        configuration: Settings of the best trial, by dotted name.
        choice: Which trial is best, and how sure that is, in a sentence.
        final: Test scores of the winner and the base; none: the sweep does not ask for them.
    """

    def __init__(self, result: SweepResult) -> None:
        self.directory = result.directory
        self.configuration = dict(result.best.configuration)
        self.choice = result.choice
        self.final = result.final
        self.leaderboard = pd.DataFrame(
            [
                {
                    "rank": row.rank,
                    "trial": row.trial,
                    "state": row.state,
                    "value": row.value,
                    **row.further,
                    **({"front": row.front} if row.further else {}),
                    **row.configuration,
                }
                for row in result.leaderboard
            ]
        )
        self._path = result.best_model

    @cached_property
    def model(self) -> TrainedModel:
        """The best model of the first split, loaded."""
        return load_model(self._path)

    def __repr__(self) -> str:
        trials = len(self.leaderboard)
        return f"TunedSweep({str(self.directory)!r}: {trials} trials)\n{self.leaderboard}"


def tune(
    sweep: SweepConfig | Mapping[str, Any] | str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    address: str | None = None,
    extend: int | None = None,
) -> TunedSweep:
    """Search settings by Ray Tune and Optuna; continue a sweep that was stopped.

    Args:
        sweep: Settings, as a dict with the names of a sweep file; a sweep file; or the name of a
            shipped sweep.
        overrides: Values by dotted name, such as {"budget.trials": 8}.
        address: Of a Ray cluster; none: RAY_ADDRESS, else Ray starts here.
        extend: Trials to add to a budget that is used up.

    Raises:
        FileNotFoundError: No such file, name or store.
        ValueError: A sweep that could not run, or another sweep's directory; in one line.
        SweepFailedError: Too many trials failed, or none finished all splits.
    """
    from sweeps import study

    asked = _as_sweep(sweep, overrides=overrides)
    return TunedSweep(study.tune(asked, address=address, extend=extend))


def _as_sweep(
    sweep: SweepConfig | Mapping[str, Any] | str | Path, *, overrides: Mapping[str, Any] | None
) -> SweepConfig:
    changes = dict(overrides or {})
    if isinstance(sweep, SweepConfig):
        return make_sweep(sweep.model_dump(mode="json"), where="sweep", overrides=changes)
    if isinstance(sweep, Mapping):
        return make_sweep(dict(sweep), where="sweep", overrides=changes)
    return read_sweep(sweep, overrides=changes)
