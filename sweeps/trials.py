"""The trials of a sweep, as a signal to their driver sees them."""

from cluster.runs.directory import RunDirectory
from sweeps.directory import SweepDirectory
from sweeps.watch import Watch


class Trials:
    """Trials that train now: each keeps its last step when it is asked to."""

    def __init__(self, directory: SweepDirectory, watch: Watch) -> None:
        self._directory, self._watch = directory, watch
        self._asked: list[str] = []  # their keys

    @property
    def learning(self) -> bool:
        """Whether one has begun."""
        return any(run.times.sessions for key in self._watch.running for run in self._runs(key))

    def ask(self) -> None:
        """Ask them to stop."""
        self._asked = self._watch.running
        for key in self._asked:
            for run in self._runs(key):
                run.stop.forget()
        self._directory.stop.ask()

    @property
    def kept(self) -> str | None:
        """How many have kept their last step, once all have."""
        kept = [key for key in self._asked if self._has_kept(key)]
        if len(kept) < len(self._asked):
            return None
        return f"last step of {len(kept)} trial{'' if len(kept) == 1 else 's'} kept"

    @property
    def stands(self) -> str | None:
        """What is there if not all have answered."""
        return "earlier ones stay"

    def _has_kept(self, key: str) -> bool:
        return any(run.stop.kept is not None for run in self._runs(key))

    def _runs(self, key: str) -> list[RunDirectory]:
        """Those of a trial, and of their folds."""
        runs = self._directory.runs(key)
        return [one for run in runs for one in (run, *run.folds)]
