"""Faults of our own ledger and search, which Ray Tune would count as failures of a trial.

It catches what a callback raises at a trial's end, and starts the trial again. So each fault is
kept here, the experiment ends, nothing more is written, and the fault is raised once it has ended.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ray.tune import Callback
from ray.tune.search import Searcher

from cluster.storage.lease import LeaseLostError
from sweeps.trials.reported import Reported

_HOOKS = (
    "on_step_end",
    "on_trial_start",
    "on_trial_result",
    "on_trial_recover",
    "on_trial_complete",
    "on_trial_error",
)


class Faults:
    """Keeps the first fault, and calls nothing after it.

    Attributes:
        first: It; none so far.
    """

    def __init__(self) -> None:
        self.first: Exception | None = None

    def call(self, hook: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Call a hook unless one has failed before; None if it fails."""
        if self.first is not None:
            return None
        try:
            return hook(*given, **named)
        except Exception as error:  # noqa: BLE001 - it is raised once the experiment has ended
            self.first = error
            return None

    @property
    def any(self) -> bool:
        """Whether the experiment is to end."""
        return self.first is not None

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise the first fault after a block.

        Ray Tune raises a fault of its own where a file cannot be written, with the text of a
        traceback; what it came from is raised instead.
        """
        try:
            yield
        except Exception as error:
            found = self.first or next(filter(_of_a_place, causes(error)), None)
            if found is None or found is error:
                raise
            raise found from None
        if self.first is not None:
            raise self.first


class GuardedCallback(Callback):
    """Calls callbacks of ours, one after the other, until one fails."""

    def __init__(self, faults: Faults, *inner: Callback) -> None:
        self._faults, self._inner = faults, inner
        for hook in _HOOKS:
            setattr(self, hook, self._guarded(hook))

    def _guarded(self, hook: str) -> Callable[..., None]:
        def call(**info: Any) -> None:
            for one in self._inner:
                self._faults.call(getattr(one, hook), **info)

        return call

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as an empty callback in Ray Tune's own files."""
        return Callback, ()


class GuardedSearch(Searcher):
    """Asks a search of ours, until it fails."""

    def __init__(self, faults: Faults, inner: Searcher) -> None:
        super().__init__(metric=inner.metric, mode=inner.mode)
        self._faults, self._inner = faults, inner

    def suggest(self, trial_id: str) -> Any:
        """What the search proposes; the sign that there is nothing once it has failed."""
        found = self._faults.call(self._inner.suggest, trial_id)
        return Searcher.FINISHED if self._faults.any else found

    def on_trial_result(self, trial_id: str, result: Reported) -> None:
        """A round, or the end of a split."""
        self._faults.call(self._inner.on_trial_result, trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: Reported | None = None, error: bool = False
    ) -> None:
        """A trial ended."""
        self._faults.call(self._inner.on_trial_complete, trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        """As the search does."""
        self._inner.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """As the search does."""
        self._inner.restore(checkpoint_path)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as an empty searcher in Ray Tune's own files."""
        return Searcher, ()


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from; Ray Tune may wrap it."""
    while error is not None:
        yield error
        hidden = error.__suppress_context__
        error = error.__cause__ or (None if hidden else error.__context__)


def _of_a_place(error: BaseException) -> bool:
    """Whether a disk or an object store is at fault, or another process took over."""
    return isinstance(error, OSError | LeaseLostError)
