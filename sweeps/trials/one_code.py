"""Trials and tests of a session run the code that it began with, or the session ends."""

from pathlib import Path
from typing import Any

from ray.tune import Callback

from scdfm.screen.names import how_many
from sweeps.pairs.code import ROOT, changed_files, code_at_start, code_now, deciding_code


class CodeChangedError(RuntimeError):
    """Files of our code have changed since the driver started."""


def require_same_code(root: Path = ROOT) -> None:
    """Compare our files with those that this process began with.

    Args:
        root: Of our packages.

    Raises:
        CodeChangedError: Some have changed; names the first.
    """
    found = changed_files(code_now(root), before=code_at_start(root))
    if found:
        more = f" and {how_many(len(found) - 1, 'more file')}" if len(found) > 1 else ""
        raise CodeChangedError(
            f"scdfm's code has changed since this command started ({found[0]}{more}): run the "
            "command again to go on with the new code; what is finished stays, trials that ran "
            "go on from their last checkpoint"
        )


def require_code_of(trial: str) -> None:
    """Refuse to train a part of a trial by other code than the trial's.

    Args:
        trial: `deciding_code` of its process.

    Raises:
        CodeChangedError: This process has other code.
    """
    if deciding_code() != trial:
        raise CodeChangedError("a split is trained by its trial: here is other code than its own")


class OneCode(Callback):
    """Compares our files whenever a trial starts or fails, before anything is written of that.

    A failure counts, too: what a process of other code raises says nothing of its trial.

    Args:
        root: Of our packages.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        code_at_start(root)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as an empty callback in Ray Tune's own files."""
        return Callback, ()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins, maybe in a new process."""
        require_same_code(self._root)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed and would be tried again."""
        require_same_code(self._root)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed."""
        require_same_code(self._root)
