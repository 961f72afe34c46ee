"""Finished (configuration, split) pairs of all sweeps of a folder: what one has trained is copied.

OUTPUT/finished/KEY.json names the run of a pair. KEY is a hash of all that decides its values: the
settings, the content of the store and of files that they name, the split, the device and cores,
versions of packages, our code and that of plug-ins. It is computed before training; a run that goes
on after a stop, or while what it reads has changed, is not named. A run that was removed or changed
since is no such run any more; then the pair is trained. Each file appears at once and names a run
that is complete, so no lock is needed: two sweeps that train a pair at the same time both train it,
and name either.
"""

import functools
import hashlib
import json
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path

import torch
from pydantic import BaseModel, ValidationError

from cluster.runs.directory import RunDirectory
from cluster.runs.fine_tune import source_model
from cluster.runs.history.times import FILE as TIMES
from cluster.runs.identity import PLACES, changed
from cluster.runs.lease import FILE as LEASE
from cluster.runs.stop import FILE as STOP
from cluster.settings.config import RunConfig
from cluster.settings.yaml_file import flat
from cluster.storage.places import local
from cluster.storage.storage import storage_at
from scdfm.flow.files import WEIGHTS
from scdfm.screen.atomic import replaced_directory, sha256
from sweeps.pairs.code import deciding_code
from sweeps.schema.sweep import SweepConfig

FOLDER = "finished"
_VERSIONS = ("torch", "numpy", "scipy", "zarr")  # that compute, or read cells
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
        fingerprint: Of the store that it trains on.
    """

    sweep: SweepConfig
    fingerprint: str

    def key(self, run: RunConfig) -> str | None:
        """What decides a pair's values, as a hash; None where it is not shared.

        Args:
            run: Of the pair. One in whose directory something was learnt may come from other code.
        """
        if not self.sweep.reuse:
            return None
        # In an object store a new process knows of no earlier one before it looks.
        return None if RunDirectory(run.directory).fetch().begun else self._hash(run)

    def take(self, run: RunConfig, *, key: str) -> Path | None:
        """Copy the finished run of the same content to where this one would be trained.

        Returns:
            Where it was copied from; None where nobody has finished it.
        """
        own, found = RunDirectory(run.directory), self._found(key)
        if found is None or found.path.resolve() == own.path.resolve():
            return None
        if changed(found.settings, run):
            return None
        own.take_back()
        with replaced_directory(own.path) as draft:
            shutil.copytree(found.path, draft, ignore=_LEFT, dirs_exist_ok=True)
            RunDirectory(draft).write_settings(run)
        own.publish()
        return found.path

    def note(self, run: RunConfig, *, key: str) -> None:
        """Let other sweeps know of a run that was trained in one go, from its beginning.

        Args:
            run: It is finished.
            key: Of before it began.
        """
        directory = RunDirectory(run.directory)
        begun = directory.manifest
        if directory.model is None or begun is None or begun.fingerprint != self.fingerprint:
            return
        if self._hash(run) != key:  # files that it reads have changed meanwhile
            return
        place = directory.path.resolve().relative_to(self._home.resolve())
        pair = Pair(run=str(place), weights=sha256(directory.model / WEIGHTS))
        storage_at(self.sweep.output).put(_file(key), pair.model_dump_json().encode())

    @property
    def _home(self) -> Path:
        """The folder of sweeps, as this process works on it."""
        return local(self.sweep.output)

    def _found(self, key: str) -> RunDirectory | None:
        """The run that a file names, if it is still what it was."""
        file = storage_at(self.sweep.output).read(_file(key))
        try:
            pair = Pair.model_validate_json(b"" if file is None else file.content)
        except ValidationError:
            return None
        directory = RunDirectory(self._home / pair.run).fetch()
        if not directory.finished or directory.model is None:
            return None
        weights = directory.model / WEIGHTS
        same = weights.is_file() and sha256(weights) == pair.weights
        return directory if same else None

    def _hash(self, run: RunConfig) -> str:
        values = flat(run.model_dump(mode="json"))
        content = {
            name: value
            for name, value in values.items()
            if name not in (*_OWN, *PLACES) and not name.startswith(("failure.", "watch."))
        }
        content |= dict(_hashes(run))
        content |= {
            "training.keep": None,
            "store": self.fingerprint,
            # Those of this process may follow from OMP_NUM_THREADS.
            "threads": run.threads or [self.sweep.resources.cpu, torch.get_num_threads()],
            "machine": _machine(gpu=self.sweep.resources.gpu > 0),
            "versions": {name: version(name) for name in _VERSIONS},
            "code": deciding_code(),
            "plug-ins": _plug_ins(),
        }
        if self.sweep.resources.workers > 1:  # sums in another order
            content["workers"] = self.sweep.resources.workers
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _file(key: str) -> str:
    return f"{FOLDER}/{key}.json"


def _hashes(run: RunConfig) -> Iterator[tuple[str, str]]:
    """The content of files that a run names."""
    if run.split.path is not None:
        yield "split.path", sha256(Path(run.split.path))
    if run.graph.path is not None:
        yield "graph.path", sha256(Path(run.graph.path))
    if run.init_from is not None:
        yield "init_from", sha256(source_model(run.init_from) / WEIGHTS)


@functools.cache
def _plug_ins() -> dict[str, str]:
    """A hash of the file of every plug-in, whether a run uses it or not."""
    found = {}
    for group in sorted(one for one in entry_points().groups if one.startswith("scdfm.")):
        for point in entry_points(group=group):
            spec = find_spec(point.module)
            file = None if spec is None or spec.origin is None else Path(spec.origin)
            content = sha256(file) if file is not None and file.is_file() else ""
            release = "" if point.dist is None else point.dist.version
            found[f"{group} {point.name} {point.value}"] = f"{release} {content}"
    return found


@functools.cache
def _machine(*, gpu: bool) -> list[str]:
    """The kind of machine that computes: another one may round otherwise."""
    cards = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())] if gpu else []
    return [platform.machine(), torch.backends.cpu.get_cpu_capability(), *sorted(set(cards))]
