"""Later splits of a trial, trained while it is at an earlier one, where there is room.

A trial trains its splits in order, in its own process. Where the cluster has had room for another
one for some seconds, so that no trial waits for it, an actor takes the next split. What the trial
reports stays the same: the rounds of a split are read from its journal once all splits before it
are finished. So trials are compared at equal prefixes; only time differs. What an actor has trained
of a trial that is then pruned is lost, like the room would have been.
"""

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import ray
import torch
from ray.exceptions import RayError

from cluster.nodes.stall import watched
from cluster.runs.directory import RESULT, RunDirectory
from cluster.runs.find_model import SWEEP
from cluster.settings.config import RunConfig
from cluster.storage.places import named
from cluster.storage.wanted import these
from sweeps.directory import SweepDirectory
from sweeps.pairs.code import deciding_code
from sweeps.pairs.finished import FinishedPairs
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.space import split_run
from sweeps.trials.one_code import require_code_of
from sweeps.trials.pair import train_pair

log = logging.getLogger(__name__)

_LOOK = 1.0  # seconds between two looks at what is idle
_IDLE = 2  # looks in a row: a trial that is about to start takes its room first
_PLACED = 60  # looks after which an actor that has no room is withdrawn


class Aside:
    """An actor that trains one split of a trial."""

    def ready(self) -> None:
        """Answer once there is a process."""

    def train(
        self, one: "Split", pairs: FinishedPairs, home: Path, threads: int, code: str
    ) -> str | None:
        """Train it; the run that it was copied from, if it was.

        Args:
            one: The split.
            pairs: Those that sweeps have finished.
            home: Working directory of the driver, from which paths resolve.
            threads: Of the trial's process: values may depend on them.
            code: `deciding_code` of the trial's process.

        Raises:
            CodeChangedError: This process has other code, so the trial is to train the split.
        """
        require_code_of(code)
        if home.is_dir():
            os.chdir(home)
        torch.set_num_threads(threads)
        SweepDirectory(pairs.sweep.directory).fetch(these(SWEEP))
        run = one.run(pairs.sweep)  # in an object store, its folder here is this process's own
        seconds = run.failure.stall_timeout
        with watched(pairs.sweep.directory, who="a split", seconds=seconds) as watchdog:
            taken = train_pair(run, pairs=pairs, watchdog=watchdog)
        return None if taken is None else named(taken)


class Split(NamedTuple):
    """A split of a trial."""

    configuration: Configuration
    key: str  # of the trial
    number: int

    def run(self, sweep: SweepConfig) -> RunConfig:
        """Its run."""
        return split_run(sweep, self.configuration, split=self.number, key=self.key)


class _Started(NamedTuple):
    actor: Any
    ready: Any  # a reference
    trained: Any  # likewise


class Ahead:
    """Trains splits of a trial ahead of it, for the time of the block.

    Args:
        configuration: Of the trial.
        key: Of the trial.
        pairs: Those that sweeps have finished.
        most: Splits at once, the trial's own included.
    """

    def __init__(
        self, configuration: Configuration, *, key: str, pairs: FinishedPairs, most: int
    ) -> None:
        self._pairs, self._most = pairs, most
        self._splits = [Split(configuration, key, k) for k in range(len(pairs.sweep.splits))]
        self._at = 0  # the split that the trial is at
        self._started: dict[int, _Started] = {}
        self._taken: dict[int, str | None] = {}  # by split whose actor is done
        self._waited: dict[int, int] = {}  # looks, of those that have no process yet
        self._idle = 0
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ahead", daemon=True)

    def __enter__(self) -> Self:
        if self._most > 1 and len(self._splits) > 1:
            deciding_code()  # as it is now
            self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        with self._lock:
            for split in list(self._started):
                self._withdraw(split)

    def finish(self, split: int, *, meanwhile: Callable[[], None]) -> str | None:
        """Let an actor finish a split that it has begun; else the trial is to train it.

        Args:
            split: By position; the trial has finished all before it.
            meanwhile: Called again and again.

        Returns:
            The run of another sweep that the split was copied from.
        """
        with self._lock:
            self._at = split
            found = self._started.get(split)
            if found is not None and not _done(found.ready):
                self._withdraw(split)
                return None
        while found is not None and not _done(found.trained, seconds=_LOOK):
            meanwhile()
        with self._lock:
            self._collect(split)
            return self._taken.get(split)

    def _watch(self) -> None:
        while not self._over.wait(_LOOK):
            with suppress(RayError, ConnectionError), self._lock:
                if not self._over.is_set():
                    self._look()

    def _look(self) -> None:
        """Start another split if there has been room for it."""
        for split, one in list(self._started.items()):
            if _done(one.trained):
                self._collect(split)
            elif not _done(one.ready):
                self._waited[split] = self._waited.get(split, 0) + 1
                if self._waited[split] > _PLACED:
                    self._withdraw(split)
        self._idle = self._idle + 1 if self._room() else 0
        busy = 1 + len(self._started)
        if busy >= self._most or self._idle < _IDLE:
            return
        left = (split for split in range(self._at + 1, len(self._splits)) if self._is_left(split))
        following = next(left, None)
        if following is not None:
            self._idle = 0
            self._start(following)

    def _is_left(self, split: int) -> bool:
        if split in self._started or split in self._taken:
            return False
        run = self._splits[split].run(self._pairs.sweep)
        return not RunDirectory(run.directory).fetch(these(RESULT)).finished

    def _room(self) -> bool:
        free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
        own = self._pairs.sweep.resources
        return free.get("CPU", 0) >= own.cpu and free.get("GPU", 0) >= own.gpu

    def _start(self, split: int) -> None:
        own = self._pairs.sweep.resources
        # A trial's own group of resources has room for the trial alone.
        kind: Any = ray.remote(Aside)
        actor = kind.options(
            num_cpus=own.cpu, num_gpus=own.gpu, scheduling_strategy="DEFAULT"
        ).remote()
        threads = torch.get_num_threads()
        given = (self._splits[split], self._pairs, Path.cwd(), threads, deciding_code())
        trained = actor.train.remote(*given)
        self._started[split] = _Started(actor, actor.ready.remote(), trained)
        self._waited.pop(split, None)

    def _collect(self, split: int) -> None:
        """Note what an actor that is done has taken, and give back what it held."""
        found = self._started.get(split)
        if found is None:
            return
        self._taken[split] = None
        # What went wrong there goes wrong in the trial, too, which then says so.
        with suppress(RayError, ValueError, RuntimeError, ArithmeticError):
            self._taken[split] = ray.get(found.trained)
        self._withdraw(split)

    def _withdraw(self, split: int) -> None:
        """End an actor; what it has trained is in the run's directory."""
        found = self._started.pop(split, None)
        if found is not None:
            ray.kill(found.actor)


def _done(reference: Any, *, seconds: float = 0) -> bool:
    done, _ = ray.wait([reference], timeout=seconds)
    return bool(done)
