"""sweep.lock.yaml: what a sweep's directory was begun with, so no other sweep continues it.

Budget, resources, failure rules and what is queued are left out: they may change between restarts.
Two resources may not: workers inside a trial, since a step takes the batches of all of them, and
whether trials compute on a GPU, where numbers have another format. The places of the store, a list
of edges, a split file or first weights are left out, too: only their content counts.
"""

import logging
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ValidationError, model_validator

from cluster.runs.find_model import SWEEP
from cluster.runs.fine_tune import source_model
from cluster.runs.identity import PLACES, moved
from cluster.settings.config import RunConfig, make_run
from cluster.settings.yaml_file import flat
from scdfm.flow.files import WEIGHTS
from scdfm.screen.address import url_of
from scdfm.screen.atomic import sha256, write_text
from scdfm.screen.untyped import JsonObject, Unchecked
from scdfm.splits import SplitConfig
from sweeps.schema.dimension import Dimension
from sweeps.schema.rules import JOURNAL, ConfirmConfig, ObjectiveConfig, PruneConfig, SearchConfig
from sweeps.schema.sweep import Configuration, SweepConfig

log = logging.getLogger(__name__)

# A trial's runs have their own, or no value depends on them.
_OWN: Mapping[str, bool | set[str]] = {
    **dict.fromkeys(("name", "output", "split", "threads", "failure", "watch"), True),
    "training": {"keep"},
}


class Locked(BaseModel, frozen=True, extra="forbid"):
    """Everything that decides which trials there are, and their scores.

    A setting that an older version did not know is read as its default.
    """

    version: Literal[1] = 1
    name: str
    study: str | None = None  # name of Optuna's study, the sweep's when it began; none: its name
    splits: tuple[SplitConfig, ...]
    objective: ObjectiveConfig = ObjectiveConfig()
    space: dict[str, Dimension] = {}
    configurations: dict[str, Configuration] = {}
    search: SearchConfig = SearchConfig()
    prune: PruneConfig = PruneConfig()
    base: Unchecked  # settings of the base run, but those that each trial has of its own
    store_fingerprint: str
    files: dict[str, str] = {}  # sha256 of lists of edges and of weights to start from
    split_files: dict[str, str] | None = None  # likewise; none: an older version named them only
    base_files: dict[str, str] | None = None  # the base's of `files` by setting; none: likewise
    workers: int | None = None  # inside a trial; none: an older version did not say
    gpu: bool | None = None  # whether trials compute on one; none: likewise

    @model_validator(mode="before")
    @classmethod
    def _without_what_had_no_effect(cls, given: Any) -> Any:
        """Drop settings that an older version accepted where nothing read them."""
        if not isinstance(given, dict):
            return given
        unread = (("prune", "scheduler", "none"), ("search", "sampler", "random"))
        for section, choice, value in unread:
            inner = given.get(section)
            if isinstance(inner, dict) and inner.get(choice) == value:
                kept = (choice, "seed", "baseline_first")
                given = {**given, section: {name: inner[name] for name in kept if name in inner}}
        return given

    @classmethod
    def of(cls, sweep: SweepConfig, *, fingerprint: str) -> Self:
        """What decides a sweep on a store of this fingerprint."""
        files = _hashes(_files(sweep))
        return cls(
            name=sweep.name,
            splits=sweep.splits,
            objective=sweep.objective,
            space=sweep.space,
            configurations=sweep.configurations,
            search=sweep.search,
            prune=sweep.prune,
            base=sweep.run({}, split=0).model_dump(mode="json", exclude=_OWN),
            store_fingerprint=fingerprint,
            files=files,
            split_files=_hashes(one.path for one in sweep.splits if one.path is not None),
            base_files=dict(_of_base(sweep, files)),
            workers=max(1, sweep.resources.workers),
            gpu=sweep.resources.gpu > 0,
        )

    @property
    def study_name(self) -> str:
        """What Optuna's study is called."""
        return self.study or self.name

    def as_sweep(self, directory: Path, *, confirm: ConfirmConfig | None) -> SweepConfig:
        """The sweep in a directory, to read what it found; what may change is left at defaults.

        Args:
            directory: Where it is.
            confirm: Its further seeds, which decide who is best (`sweeps.winners.rule`).
        """
        return SweepConfig.model_construct(
            name=directory.name,
            output=directory.parent,
            base=self.base,
            splits=self.splits,
            objective=self.objective,
            space=self.space,
            configurations=self.configurations,
            search=self.search,
            prune=self.prune,
            confirm=confirm,
        )

    @property
    def base_run(self) -> RunConfig:
        """The base as a run, with the settings that a run needs besides."""
        own = {"name": "base", "split": {"kind": "additive"}}
        return make_run({**self.base, **own}, where=SWEEP)


@dataclass(frozen=True)
class Lock:
    """The lock in a sweep's directory."""

    directory: Path

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.directory / SWEEP

    def take(self, sweep: SweepConfig, *, fingerprint: str, begun: bool) -> None:
        """Write the lock, or check that the directory was begun with this very sweep.

        What has moved since then is logged and written down.

        Args:
            sweep: What is asked for now.
            fingerprint: Of the store.
            begun: Whether a trial was ever started; until then a sweep may be corrected.

        Raises:
            ValueError: The directory holds another sweep; names the first difference.
        """
        now, before = Locked.of(sweep, fingerprint=fingerprint), self.read() if begun else None
        if before is None:
            self._write(now.model_copy(update={"study": _new_study(sweep)}))
            return
        self._require_same(before, now)
        for line in _moves(before, now):
            log.info(line)
        self._write(now.model_copy(update={"study": before.study_name}))

    def check(self, sweep: SweepConfig, *, fingerprint: str) -> None:
        """Refuse a sweep that could not go on with what was begun here; writes nothing.

        Raises:
            ValueError: As `take` does.
        """
        before = self.read()
        if before is not None:
            self._require_same(before, Locked.of(sweep, fingerprint=fingerprint))

    def _require_same(self, before: Locked, now: Locked) -> None:
        changed = _difference(before, now)
        if changed:
            raise ValueError(
                f"{self.directory} holds another sweep: {changed}; set it back, or begin "
                "one beside it with --new"
            )

    def read(self) -> Locked | None:
        """What the sweep was begun with; None before that.

        Raises:
            ValueError: The file is damaged.
        """
        if not self.path.is_file():
            return None
        try:
            return Locked.model_validate(yaml.safe_load(self.path.read_bytes()))
        except (yaml.YAMLError, ValidationError) as error:
            raise ValueError(
                f"{self.path} is damaged, or of a newer version; restore it, or choose another name"
            ) from error

    def _write(self, locked: Locked) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        write_text(self.path, yaml.safe_dump(locked.model_dump(mode="json"), sort_keys=False))


def say_if_renamed(sweep: SweepConfig, *, fingerprint: str) -> None:
    """Say that a sweep that has not begun is there under another name, and how to go on with it.

    Not of an object store, which would have to be asked for the files of each sweep.

    Args:
        sweep: It has not begun under its own name.
        fingerprint: Of the store.
    """
    if url_of(sweep.output) is not None:
        return
    if (folder := next(_same(sweep, fingerprint=fingerprint), None)) is not None:
        log.warning(
            "%s holds a sweep with the same settings, and this one is new; to go on with that: "
            "--set name=%s",
            folder,
            folder.name,
        )


def _same(sweep: SweepConfig, *, fingerprint: str) -> Iterator[Path]:
    """Folders beside a sweep's that hold one with the same settings."""
    now: Locked | None = None
    for path in sorted(Path(sweep.output).glob(f"*/{SWEEP}")):
        with suppress(OSError, ValueError):  # not ours to read, damaged, or of another version
            # A folder may hold hundreds of sweeps, and YAML is slow to read.
            if path.parent == sweep.directory or fingerprint.encode() not in path.read_bytes():
                continue
            now = now or Locked.of(sweep, fingerprint=fingerprint)
            before = Lock(path.parent).read()
            if before is not None and _difference(before, now) is None:
                yield path.parent


def _new_study(sweep: SweepConfig) -> str | None:
    """What a new study is called where it is not the sweep's name: in a database of several."""
    if sweep.study.storage in (None, JOURNAL):
        return None
    return f"{sweep.name}-{secrets.token_hex(4)}"


def _files(sweep: SweepConfig) -> Iterator[Path]:
    """What trials read besides the store and the splits: edges, models to start from."""
    for one in sweep.samples():
        yield from files_of(sweep.run(one, split=0))


def files_of(run: RunConfig) -> Iterator[Path]:
    """What a run reads besides its store and its split, as `Locked.files` names it.

    Raises:
        FileNotFoundError, ValueError: The model to start from is gone.
    """
    for _, path in _by_setting(run):
        yield path


def _by_setting(run: RunConfig) -> Iterator[tuple[str, Path]]:
    if run.graph.path is not None:
        yield "graph.path", run.graph.path
    if run.init_from is not None:
        yield "init_from", source_model(run.init_from) / WEIGHTS


def _of_base(sweep: SweepConfig, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Hashes of the base's own files by setting, of those that trials read."""
    with suppress(FileNotFoundError, ValueError):  # every one of a list has other first weights
        for name, path in _by_setting(sweep.run({}, split=0)):
            if str(path) in files:
                yield name, files[str(path)]


def _hashes(files: Iterable[Path]) -> dict[str, str]:
    return {str(path): sha256(path) for path in sorted(set(files))}


def _difference(old: Locked, new: Locked) -> str | None:
    """The first setting that decides values and differs."""
    before, after = _decisive(old, beside=new), _decisive(new, beside=old)
    for name in [*before, *after]:
        if before.get(name) != after.get(name):
            return f"{name} was {before.get(name)!r} and is now {after.get(name)!r}"
    for path, then, now in (*_contents(old, new), *_of_splits(old, new)):
        if now != then:
            return f"{path} has other content than when it began (sha256 is now {now[:12]})"
    return None


def _contents(old: Locked, new: Locked) -> Iterator[tuple[str, str | None, str]]:
    """Files of trials with their hashes then and now, each by the setting that names it.

    A space and a list name files by their places, which stay; the base's may have moved.
    """
    base = flat(new.base)
    for name, now in (new.base_files or {}).items():
        if old.base_files is not None:
            yield base[name], old.base_files.get(name, now), now
    known = {*old.files.values()}
    for path, now in new.files.items():
        yield path, old.files.get(path, now if now in known else None), now


def _of_splits(old: Locked, new: Locked) -> Iterator[tuple[str, str | None, str]]:
    """Likewise of the split files, each by the position of its split."""
    if old.split_files is None or new.split_files is None:
        return
    for before, after in zip(old.splits, new.splits, strict=True):
        if after.path is not None:
            path = str(after.path)
            yield path, old.split_files.get(str(before.path)), new.split_files[path]


def _decisive(locked: Locked, *, beside: Locked) -> JsonObject:
    """Settings by dotted name, without places and the files there."""
    own = {"name", "study", "files", "split_files", "base_files", "workers", "gpu"}
    values = locked.model_dump(mode="json", exclude=own)
    if None not in (locked.workers, beside.workers):
        values["resources.workers"] = locked.workers
    if None not in (locked.gpu, beside.gpu):
        values["resources.gpu"] = "above 0" if locked.gpu else 0
    if locked.split_files is not None and beside.split_files is not None:
        for split in values["splits"]:
            split["path"] = "a place" if split["path"] else None
    base, other = (flat(one.base_run.model_dump(mode="json")) for one in (locked, beside))
    for place in PLACES:
        if None not in (base.get(place), other.get(place)):
            base[place] = "a place"
    return flat({**values, "base": base})


def _moves(before: Locked, now: Locked) -> Iterator[str]:
    """A line for each place that has changed."""
    if before.name != now.name:
        yield f"name: was {before.name}, is now {now.name}; same settings"
    for line in moved(before.base_run, now.base_run):
        yield f"base.{line}"
