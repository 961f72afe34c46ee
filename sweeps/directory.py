"""A sweep's directory: one object owns its files; it is opened once and passed on.

sweep.lock.yaml                     what the sweep is
ledger.jsonl                        what happened to every trial
study.db, or study.journal          Optuna's study, unless a database has it
trials/KEY/split-N/                 the runs
leaderboard.csv                     what was found so far
choice.json                         which trial is best, and how sure that is
final.json final/                   test scores of the winner and the base, and their retrained runs
best/ best-splits/N/ best.yaml      the winner: its models, and a run file to train it again
lease stop.json                     who writes; that trials are to stop

In an object store all of these but the runs share one index; a run has its own.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cluster.runs.directory import RunDirectory
from cluster.runs.find_model import BEST_RUN, BEST_SPLITS, BEST_TRIAL, CHOICE, RUN
from cluster.runs.history.times import FILE as TIMES
from cluster.runs.lease import lease
from cluster.runs.stop import Stop
from cluster.storage.mirror import INDEX, Mirror, mirror_of, publish
from cluster.storage.places import address_of, named
from cluster.storage.wanted import Wanted, nothing, these
from sweeps.ledger import Ledger
from sweeps.lock import Lock

FINAL = "final.json"
_MODELS = (f"{BEST_TRIAL}/", f"{BEST_SPLITS}/")


def but_models(name: str) -> bool:
    """All files of a sweep but its best models, which only their users need."""
    return not name.startswith(_MODELS)


@dataclass(frozen=True)
class SweepDirectory:
    """The files of one sweep.

    Attributes:
        path: Where they are; of a sweep in an object store, where this process works on them.
    """

    path: Path

    def __str__(self) -> str:
        """Where the sweep lives, as its user calls it."""
        return named(self.path)

    @property
    def _mirror(self) -> Mirror | None:
        address = address_of(self.path)
        return None if address is None else mirror_of(address)

    @property
    def exists(self) -> bool:
        """Whether anything is there."""
        mirror = self._mirror
        return self.path.exists() if mirror is None else mirror.storage.read(INDEX) is not None

    def fetch(self, wanted: Wanted = but_models) -> Self:
        """Get the newest files of a sweep in an object store, without its runs and best models.

        Args:
            wanted: Which files; a trial needs the lock alone.
        """
        mirror = self._mirror
        if mirror is not None and not mirror.writes:
            mirror.fetch(wanted)
        return self

    def publish(self) -> None:
        """Send what was written to the object store; on return it is kept there, all at once.

        Raises:
            LeaseLostError: Another process writes now.
        """
        publish(self.path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only writer for the time of the block.

        Raises:
            ValueError: Another process writes, or the directory holds a run.
        """
        if (self.path / RUN).is_file():
            raise ValueError(f"{self} holds a run; choose another name for the sweep")
        with lease(self.path, wanted=but_models):
            yield
            self.publish()

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
    def study_journal(self) -> Path:
        """Optuna's study as a journal, which may be on a shared disk."""
        return self.path / "study.journal"

    @property
    def leaderboard(self) -> Path:
        """What was found so far, CSV."""
        return self.path / "leaderboard.csv"

    @property
    def choice(self) -> Path:
        """Which trial is best, and how sure that is, JSON."""
        return self.path / CHOICE

    @property
    def final(self) -> Path:
        """Test scores of the winner and of the base, JSON."""
        return self.path / FINAL

    @property
    def retrained(self) -> Path:
        """Runs of these that were trained on validation conditions, too."""
        return self.path / "final"

    @property
    def best(self) -> Path:
        """The winner's model of the first split."""
        return self.path / BEST_TRIAL

    @property
    def best_splits(self) -> Path:
        """The winner's models of the other splits, by the split's position."""
        return self.path / BEST_SPLITS

    def forget_best(self) -> None:
        """Let what was written be all that the object store has of the best models."""
        mirror = self._mirror
        if mirror is not None:
            for folder in _MODELS:
                mirror.drop(folder)

    @property
    def best_run(self) -> Path:
        """A run file: train the winner again, elsewhere or for longer."""
        return self.path / BEST_RUN

    def trial(self, key: str) -> Path:
        """The folder of a trial's runs, one folder for each split."""
        return self.path / "trials" / key

    def runs(self, key: str) -> list[RunDirectory]:
        """The runs of a trial that were begun, one for each split; their files not fetched."""
        mirror = self._mirror
        if mirror is None:
            begun = sorted(self.trial(key).glob("split-*"))
        else:
            begun = [path for path in _runs_in(mirror, key) if path.parent == self.trial(key)]
        return [RunDirectory(path) for path in begun]

    def runs_and_folds(self, key: str) -> list[RunDirectory]:
        """The same, and the runs of their folds."""
        mirror = self._mirror
        if mirror is not None:
            return [RunDirectory(path) for path in _runs_in(mirror, key)]
        return [one for run in self.runs(key) for one in (run, *run.folds)]

    def seconds(self, key: str) -> float:
        """Time that a trial has trained in all sessions, those included that were killed."""
        return sum(run.fetch(these(TIMES)).seconds for run in self.runs(key))

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


def _runs_in(mirror: Mirror, key: str) -> list[Path]:
    """The runs of a trial in an object store, and of their folds: whatever has an index."""
    index = re.compile(rf"(trials/{key}/split-\d+(?:/folds/\d+)?)/{re.escape(INDEX)}")
    found = map(index.fullmatch, mirror.storage.names(f"trials/{key}"))
    return [mirror.folder / match[1] for match in found if match is not None]


def forget_states(run: RunDirectory) -> None:
    """Remove the training states of a trial's run, which has ended; nothing of it is fetched."""
    if run.fetch(nothing).states.newest is not None:
        with run.taken_back(nothing):
            run.forget_states()
