"""Proposals: first what an earlier session left open, then Optuna's, never the same twice.

Optuna's study outlives the session in study.db; it opens in optuna-dashboard.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import TrialState
from ray.tune.search import Searcher

from sweeps.objective import RUNG, VALUE
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.space import distributions, identity, sampler, untried


def open_storage(study: Path) -> RDBStorage:
    """The study's SQLite file."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return RDBStorage(
        f"sqlite:///{study.resolve()}", engine_kwargs={"connect_args": {"timeout": 60}}
    )


class StudySearch(Searcher):
    """Asks a stored study, which a killed session can leave in any state."""

    def __init__(
        self,
        sweep: SweepConfig,
        *,
        storage: BaseStorage,
        name: str,
        earlier: Sequence[Configuration],
        first: Sequence[Configuration],
    ) -> None:
        """Continue the sweep's study.

        Args:
            sweep: The sweep.
            storage: Of the study.
            name: Of the study.
            earlier: Configurations of earlier sessions; the study lacks those outside the space.
            first: Configurations to run before the search proposes any.
        """
        super().__init__(metric=VALUE, mode=sweep.objective.direction)
        self._sweep, self._dimensions = sweep, sweep.dimensions
        self._names = self._dimensions.keys()
        self._study = optuna.create_study(
            study_name=name,
            storage=storage,
            sampler=sampler(sweep.search, number=0),
            direction="minimize" if sweep.objective.direction == "min" else "maximize",
            load_if_exists=True,
        )
        self._trials: dict[str, optuna.Trial] = {}  # by Ray Tune's id
        self._reported: dict[str, set[int]] = {}  # rungs, by Ray Tune's id
        left = self._close_left()
        self._first = list({identity(one): one for one in (*first, *left)}.values())
        self._tried = {
            identity(trial.params)
            for trial in self._study.get_trials(deepcopy=False)
            if trial.params.keys() == self._names
        } | {identity(one) for one in earlier}

    def _close_left(self) -> list[Configuration]:
        """Close what a killed session had begun; return the configurations to run again."""
        while any(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))):
            self._study.tell(self._ask(), state=TrialState.FAIL)
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in running:
            self._study.tell(trial.number, state=TrialState.FAIL)
        return [dict(trial.params) for trial in running if trial.params.keys() == self._names]

    def suggest(self, trial_id: str) -> Any:
        """The next configuration, or the sign that there is none."""
        if self._first:
            return self._begin(trial_id, self._first.pop(0))
        if self._sweep.configurations:
            return Searcher.FINISHED
        number = len(self._tried)
        self._study.sampler = sampler(self._sweep.search, number=number)
        trial = self._ask()
        if identity(trial.params) in self._tried:
            self._study.tell(trial, state=TrialState.FAIL)
            fresh = untried(
                self._dimensions, tried=self._tried, seed=self._sweep.search.seed, number=number
            )
            return Searcher.FINISHED if fresh is None else self._begin(trial_id, fresh)
        self._tried.add(identity(trial.params))
        self._trials[trial_id] = trial
        return trial.params

    def _begin(self, trial_id: str, configuration: Configuration) -> Configuration:
        """Start a given configuration; the study is told only if it lies in the space."""
        self._tried.add(identity(configuration))
        if all(one.holds(configuration[name]) for name, one in self._dimensions.items()):
            self._study.enqueue_trial(configuration)
            self._trials[trial_id] = self._ask()
        return configuration

    def _ask(self) -> optuna.Trial:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self._study.ask(distributions(self._dimensions))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the study the mean so far, once for each rung."""
        rungs = self._reported.setdefault(trial_id, set())
        if trial_id in self._trials and result[RUNG] not in rungs:
            rungs.add(result[RUNG])
            self._trials[trial_id].report(result[VALUE], step=result[RUNG])

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the study how a trial ended; one that did not finish all splits counts as pruned."""
        if result and RUNG in result:
            self.on_trial_result(trial_id, result)  # Tune does not tell what made it prune
        trial = self._trials.pop(trial_id, None)
        if trial is None:
            return
        if result and result.get("complete"):
            self._study.tell(trial, result[VALUE])
        else:
            self._study.tell(trial, state=TrialState.FAIL if error else TrialState.PRUNED)

    def save(self, checkpoint_path: str) -> None:
        """Leave an empty file for Ray Tune, which is never asked to restore: study.db is ours."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Never asked for; see `save`."""
        raise NotImplementedError("a sweep goes on from study.db")

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as an empty searcher in Ray Tune's own files."""
        return Searcher, ()
