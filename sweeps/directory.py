"""A sweep's directory: one object owns its files; it is opened once and passed on.

sweep.lock.yaml                     what the sweep is
ledger.jsonl                        what happened to every trial
study.db                            Optuna's study; opens in optuna-dashboard
trials/KEY/split-N/                 the runs
leaderboard.csv                     what was found so far
choice.json                         which trial is best, and how sure that is
best/ best-splits/N/ best.yaml      the winner: its models, and a run file to train it again
lease stop.json                     who writes; that trials are to stop
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.runs.directory import RunDirectory
from cluster.runs.find_model import BEST_TRIAL, RUN
from cluster.runs.lease import lease
from cluster.runs.stop import Stop
from sweeps.ledger import Ledger
from sweeps.lock import Lock


@dataclass(frozen=True)
class SweepDirectory:
    """The files of one sweep."""

    path: Path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only writer for the time of the block.

        Raises:
            ValueError: Another process writes, or the directory holds a run.
        """
        if (self.path / RUN).is_file():
            raise ValueError(f"{self.path} holds a run; choose another name for the sweep")
        with lease(self.path):
            yield

    @property
    def lock(self) -> Lock:
        """What the sweep is."""
        return Lock(self.path)

    @property
    def ledger(self) -> Ledger:
        """What happened to every trial."""
        return Ledger(self.path)

    @property
    def study(self) -> Path:
        """Optuna's study, SQLite."""
        return self.path / "study.db"

    @property
    def leaderboard(self) -> Path:
        """What was found so far, CSV."""
        return self.path / "leaderboard.csv"

    @property
    def choice(self) -> Path:
        """Which trial is best, and how sure that is, JSON."""
        return self.path / "choice.json"

    @property
    def best(self) -> Path:
        """The winner's model of the first split."""
        return self.path / BEST_TRIAL

    @property
    def best_splits(self) -> Path:
        """The winner's models of the other splits, by the split's position."""
        return self.path / "best-splits"

    @property
    def best_run(self) -> Path:
        """A run file: train the winner again, elsewhere or for longer."""
        return self.path / "best.yaml"

    def trial(self, key: str) -> Path:
        """The folder of a trial's runs, one folder for each split."""
        return self.path / "trials" / key

    def runs(self, key: str) -> list[RunDirectory]:
        """The runs of a trial that were begun, one for each split."""
        return [RunDirectory(path) for path in sorted(self.trial(key).glob("split-*"))]

    def seconds(self, key: str) -> float:
        """Time that a trial has trained in all sessions, those included that were killed."""
        return sum(run.seconds for run in self.runs(key))

    @property
    def stop(self) -> Stop:
        """Whether its trials are to stop."""
        return Stop(self.path)

    @contextmanager
    def tunes_own_files(self) -> Iterator[Path]:
        """A folder for what Ray Tune writes for itself; a restart does not need it."""
        folder = (self.path / "tune").resolve()
        shutil.rmtree(folder, ignore_errors=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
