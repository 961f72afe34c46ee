"""The trials of a sweep whose driver was told to end: each keeps its last step first."""

from pathlib import Path

from cluster.runs.directory import RunDirectory
from cluster.runs.history.holder import holder
from cluster.storage.places import address_of
from cluster.work.group.heard import in_time
from scdfm.screen.names import how_many
from sweeps.directory import SweepDirectory
from sweeps.watch import Watch


class Trials:
    """Trials that train now, as a signal to their driver sees them.

    Each keeps its last step when it is asked to.
    """

    def __init__(self, directory: SweepDirectory, watch: Watch) -> None:
        self._directory, self._watch = directory, watch
        self._asked: list[str] = []  # their keys

    @property
    def learning(self) -> bool:
        """Whether one has begun."""
        return any(
            run.times.sessions or address_of(run.path)  # whose files are not here
            for key in self._watch.running
            for run in self._runs(key)
        )

    def ask(self) -> None:
        """Ask them to stop."""
        self._asked = self._watch.running
        in_time(self._ask)

    def _ask(self) -> None:
        for key in self._asked:
            for run in self._directory.runs_and_folds(key):
                run.stop.forget()
        self._directory.stop.ask()

    @property
    def kept(self) -> str | None:
        """How many have kept their last step, once all have."""
        kept = [key for key in self._asked if self._has_kept(key)]
        if len(kept) < len(self._asked):
            return None
        return f"last step of {how_many(len(kept), 'trial')} kept"

    @property
    def stands(self) -> str | None:
        """What is there if not all have answered."""
        return "earlier ones stay"

    def _has_kept(self, key: str) -> bool:
        """Whether each split of a trial that was at work has answered."""
        return bool(in_time(lambda: self._answered(key)))

    def _answered(self, key: str) -> bool:
        every = self._directory.runs_and_folds(key)
        answered = [one.path for one in every if one.stop.kept is not None]
        if not answered:
            return False
        # A run answers itself, or one of its folds does.
        silent = (
            run.path
            for run in self._directory.runs(key)
            if not any(path.is_relative_to(run.path) for path in answered)
        )
        return not any(works(path) for path in silent)

    def _runs(self, key: str) -> list[RunDirectory]:
        return in_time(lambda: self._directory.runs_and_folds(key)) or []


def works(run: Path) -> bool:
    """Whether a run is held by a process that lives, as far as can be seen, and is not done."""
    held = holder(run)
    return held is not None and held.alive is not False and not RunDirectory(run).finished
