"""sweep.lock.yaml: what a sweep's directory was begun with, so that nothing else continues it.

Budget, resources and failure rules are left out: they may change between restarts. Where the store,
a list of edges, a split file or first weights lie is no identity either: their content is.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from cluster.runs.config import RunConfig, make_run
from cluster.runs.fine_tune import source_model
from cluster.runs.identity import PLACES, moved
from cluster.runs.yaml_file import flat
from scdfm.flow.checkpoint import WEIGHTS
from scdfm.screen.atomic import sha256, write_text
from sweeps.rules import ObjectiveConfig, PruneConfig, SearchConfig
from sweeps.schema import SweepConfig

log = logging.getLogger(__name__)

FILE = "sweep.lock.yaml"

_OWN = ("name", "output", "split", "threads")  # a trial's runs have their own
_SECTIONS: dict[str, type[BaseModel]] = {
    "objective": ObjectiveConfig,
    "search": SearchConfig,
    "prune": PruneConfig,
}


@dataclass(frozen=True)
class Lock:
    """The lock in a sweep's directory."""

    directory: Path

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.directory / FILE

    @property
    def study_name(self) -> str | None:
        """What Optuna's study was called: the sweep's name when it began."""
        return str(self._read()["name"]) if self.path.is_file() else None

    def take(self, sweep: SweepConfig, *, fingerprint: str, begun: bool) -> None:
        """Write the lock, or check that the directory was begun with this very sweep.

        What has moved since is said, and remembered.

        Args:
            sweep: What is asked for now.
            fingerprint: Of the store.
            begun: Whether a trial was ever started; until then a sweep may be corrected.

        Raises:
            ValueError: The directory holds another sweep; names the first difference.
        """
        now = _resolved(sweep, fingerprint=fingerprint)
        if not (self.path.is_file() and begun):
            self._write(now)
            return
        before = self._read()
        changed = _difference(_as_of_today(before), now)
        if changed:
            raise ValueError(
                f"{self.directory} holds another sweep: {changed}; set it back, or choose another "
                "name"
            )
        for line in _moves(before, sweep):
            log.info(line)
        # The study keeps the name that it was begun with.
        self._write({**now, "name": before["name"]})

    def _read(self) -> dict[str, Any]:
        values = yaml.safe_load(self.path.read_text())
        if not isinstance(values, dict) or "name" not in values:
            raise ValueError(f"{self.path} is damaged; restore it, or choose another name")
        return values

    def _write(self, values: dict[str, Any]) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(values, sort_keys=False)
        if not self.path.is_file() or self.path.read_text() != text:
            write_text(self.path, text)


def _resolved(sweep: SweepConfig, *, fingerprint: str) -> dict[str, Any]:
    """Everything that decides what trials there are and what they are worth."""
    values = sweep.model_dump(
        mode="json", exclude={"base", "output", "budget", "resources", "failure"}
    )
    base = sweep.run({}, split=0).model_dump(mode="json", exclude=set(_OWN))
    return {
        **values,
        "base": base,
        "store_fingerprint": fingerprint,
        "files": _hashes(_files(sweep)),
        "split_files": _hashes(one.path for one in sweep.splits if one.path is not None),
    }


def _files(sweep: SweepConfig) -> Iterator[Path]:
    """What trials read besides the store and the splits: edges, models to start from."""
    for one in sweep.samples():
        run = sweep.run(one, split=0)
        if run.graph.path is not None:
            yield run.graph.path
        if run.init_from is not None:
            yield source_model(run.init_from) / WEIGHTS


def _hashes(files: Iterator[Path]) -> dict[str, str]:
    return {str(path): sha256(path) for path in sorted(set(files))}


def _as_of_today(locked: dict[str, Any]) -> dict[str, Any]:
    """A lock, with the settings that an older version did not know yet at their defaults."""
    values = dict(locked)
    for name, section in _SECTIONS.items():
        values[name] = section.model_validate(values.get(name, {})).model_dump(mode="json")
    run = _base_run(values)
    return {**values, "base": run.model_dump(mode="json", exclude=set(_OWN))}


def _base_run(locked: dict[str, Any]) -> RunConfig:
    own = {"name": "base", "split": {"kind": "additive"}}
    return make_run({**locked["base"], **own}, where=FILE)


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str | None:
    """The first setting that decides values and differs."""
    before, after = flat(_decisive(old, beside=new)), flat(_decisive(new, beside=old))
    for name in [*before, *after]:
        if before.get(name) != after.get(name):
            return f"{name} was {before.get(name)!r} and is now {after.get(name)!r}"
    return None


def _decisive(values: dict[str, Any], *, beside: dict[str, Any]) -> dict[str, Any]:
    """A lock without places; of files only their hashes, in any order."""
    values = {**values, "name": None, "files": sorted(values.get("files", {}).values())}
    base = flat(values["base"])
    others = flat(beside["base"])
    for place in PLACES:
        if None not in (base.get(place), others.get(place)):
            base[place] = "a place"
    values["base"] = base
    if "split_files" in values and "split_files" in beside:
        values["split_files"] = sorted(values["split_files"].values())
        paths = [
            {**split, "path": "a place"} if split.get("path") else split
            for split in values["splits"]
        ]
        return {**values, "splits": paths}
    values.pop("split_files", None)  # a lock of an older version knows its split files by name
    return values


def _moves(before: dict[str, Any], sweep: SweepConfig) -> Iterator[str]:
    """A line for each place that is another one now."""
    if before["name"] != sweep.name:
        yield f"name: was {before['name']}, is now {sweep.name}; same settings"
    then = _base_run(before)
    own = {"name": then.name, "output": then.output, "split": then.split, "threads": then.threads}
    for line in moved(then, sweep.run({}, split=0).model_copy(update=own)):
        yield f"base.{line}"
