"""Finished (configuration, split) pairs of all sweeps of a folder: what one has trained is copied.

OUTPUT/finished/KEY.json names the run of a pair. KEY is a hash of all that decides its values: the
settings, the content of the store and of files that they name, the split, the device and cores, and
our code. A run that was removed or changed since is no such run any more; then the pair is trained.
Each file appears at once and names a run that is complete, so no lock is needed: two sweeps that
train a pair at the same time both train it, and name either.
"""

import functools
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from cluster.runs.directory import RunDirectory
from cluster.runs.fine_tune import source_model
from cluster.runs.history.times import FILE as TIMES
from cluster.runs.identity import PLACES, changed
from cluster.runs.lease import FILE as LEASE
from cluster.runs.stop import FILE as STOP
from cluster.settings.config import RunConfig
from cluster.settings.yaml_file import flat
from data_store.store.reader import Store
from scdfm.flow.files import WEIGHTS
from scdfm.screen.atomic import replaced_directory, sha256, write_json
from sweeps.schema.sweep import SweepConfig

FOLDER = "finished"
_PACKAGES = ("scdfm", "data_store", "cluster")
# Of a run's own session: who writes, who is to stop, how long it took.
_LEFT = shutil.ignore_patterns(TIMES, LEASE, STOP, "checkpoints")
# They change no value; the split's file is hashed like the others.
_OWN = ("name", "output", "threads")


class Pair(BaseModel, frozen=True, extra="forbid"):
    """Where a finished pair is."""

    run: str  # its directory, below the folder of sweeps
    weights: str  # sha256 of its best model's


@dataclass(frozen=True)
class FinishedPairs:
    """The pairs that sweeps of one folder have finished.

    Attributes:
        sweep: Whose runs are looked up and noted.
    """

    sweep: SweepConfig

    def take(self, run: RunConfig) -> Path | None:
        """Copy the finished run of the same content to where this one would be trained.

        Args:
            run: Of a pair; nothing may have been learnt in its directory.

        Returns:
            Where it was copied from; None where nobody has finished it.
        """
        own = RunDirectory(run.directory)
        if not self.sweep.reuse or own.begun or own.finished:
            return None
        found = self._found(self._file(run))
        if found is None or found.path.resolve() == own.path.resolve():
            return None
        if changed(found.settings, run):
            return None
        with replaced_directory(own.path) as draft:
            shutil.copytree(found.path, draft, ignore=_LEFT, dirs_exist_ok=True)
            RunDirectory(draft).write_settings(run)
        return found.path

    def note(self, run: RunConfig) -> None:
        """Let other sweeps know of a run that is finished."""
        directory = RunDirectory(run.directory)
        if self.sweep.reuse and directory.model is not None:
            place = directory.path.resolve().relative_to(self.sweep.output.resolve())
            pair = Pair(run=str(place), weights=sha256(directory.model / WEIGHTS))
            file = self._file(run)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, pair.model_dump())

    def _file(self, run: RunConfig) -> Path:
        return self.sweep.output / FOLDER / f"{self._key(run)}.json"

    def _found(self, file: Path) -> RunDirectory | None:
        """The run that a file names, if it is still what it was."""
        try:
            pair = Pair.model_validate_json(file.read_text())
        except (OSError, ValidationError):
            return None
        directory = RunDirectory(self.sweep.output / pair.run)
        if not directory.finished or directory.model is None:
            return None
        weights = directory.model / WEIGHTS
        same = weights.is_file() and sha256(weights) == pair.weights
        return directory if same else None

    def _key(self, run: RunConfig) -> str:
        values = flat(run.model_dump(mode="json"))
        content = {
            name: value
            for name, value in values.items()
            if name not in (*_OWN, *PLACES) and not name.startswith("failure.")
        }
        content["training.keep"] = None
        with Store.open(run.store) as store:
            content["store"] = store.fingerprint
        content |= dict(_hashes(run))
        content["resources"] = [self.sweep.resources.cpu, self.sweep.resources.gpu > 0]
        content["code"] = _code()
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _hashes(run: RunConfig) -> Iterator[tuple[str, str]]:
    """The content of files that a run names."""
    if run.split.path is not None:
        yield "split.path", sha256(Path(run.split.path))
    if run.graph.path is not None:
        yield "graph.path", sha256(Path(run.graph.path))
    if run.init_from is not None:
        yield "init_from", sha256(source_model(run.init_from) / WEIGHTS)


@functools.cache
def _code() -> str:
    """A hash of the code that decides values."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[2]
    for package in _PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
