"""All that watch a run's session, as its first worker sees them."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from cluster.runs.directory import RunDirectory
from cluster.runs.parts.place import FOLDS, MEMBERS
from cluster.runs.records import Line
from cluster.settings.config import RunConfig
from cluster.settings.watch import watched_by
from cluster.settings.yaml_file import flat
from cluster.watchers.registry import WATCHERS
from cluster.watchers.watcher import End, Session
from cluster.work.watch.aside import Aside
from cluster.work.watch.values import values_of

_INSIDE = (FOLDS, MEMBERS, "trials")  # folders of runs that belong to a run or sweep
_PATIENCE = 5.0  # seconds for what is not yet shown at the end of a session
_HURRY = 1.0  # the same, if its process is to end


class Watched:
    """Passes lines on to all watchers; at the end of its block they are done, or left alone.

    Attributes:
        done: Whether the run is; otherwise its session was stopped.
    """

    def __init__(self) -> None:
        self.done = False
        self._all: list[Aside] = []
        self._tell: Callable[[str], None] = lambda fault: None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        end: End = "done" if self.done else "stopped"
        if isinstance(error, Exception):
            end = "failed"
        patience = _PATIENCE if error is None or end == "failed" else _HURRY
        for one in self._all:
            one.close(end, patience=patience)
        self._look()

    def begin(
        self,
        run: RunConfig,
        directory: RunDirectory,
        *,
        step: int | None,
        tell: Callable[[str], None],
    ) -> None:
        """Have a session watched.

        Args:
            run: Its settings.
            directory: The run's, with the session's first line in its times.
            step: After which it goes on; none: it begins anew.
            tell: Is told what goes wrong, once for each watcher.
        """
        self._tell = tell
        session = _session(run, directory, step=step)
        for name, settings in watched_by(run.watch).items():
            begin = partial(WATCHERS[name].open, session, settings=settings)
            self._all.append(Aside(name, begin))

    def add(self, line: Line, *, facts: Mapping[str, float]) -> None:
        """Show a line of the journal, with speed and memory."""
        values = values_of(line, facts=facts)
        for one in self._all if values else ():
            one.add(line["step"], values)
        self._look()

    def _look(self) -> None:
        """Tell what has gone wrong since the last look."""
        for one in self._all:
            fault = one.fault()
            if fault is not None:
                self._tell(fault)


def _session(run: RunConfig, directory: RunDirectory, *, step: int | None) -> Session:
    first, *inner = _names(directory.path)
    return Session(
        name="/".join([first, *inner]),
        group=first,
        key=directory.times.key or "",
        number=directory.times.sessions,
        step=step,
        directory=directory.path,
        settings=flat(run.model_dump(mode="json"), into_lists=False),
    )


def _names(directory: Path) -> tuple[str, ...]:
    """A run's name; of a fold, a member or a sweep's trial after the name of what it belongs to."""
    parts = directory.parts
    inside = [place for place, name in enumerate(parts) if name in _INSIDE and place > 0]
    return parts[min(inside, default=len(parts)) - 1 :]
