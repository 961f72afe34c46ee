"""Proposals: Optuna's, after what an earlier session left open, and never the same twice.

Optuna's study outlives the session in study.db; it opens in optuna-dashboard.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from sweeps.objective import RUNG, VALUE
from sweeps.schema import Configuration, SweepConfig
from sweeps.space import distributions, identity, sampler, untried

_STEP = "training_iteration"  # what OptunaSearch takes for the step of a report


def open_storage(study: Path) -> RDBStorage:
    """The study's SQLite file."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return RDBStorage(
        f"sqlite:///{study.resolve()}", engine_kwargs={"connect_args": {"timeout": 60}}
    )


class StudySearch(OptunaSearch):
    """OptunaSearch over a stored study that a killed session may have left in any state."""

    def __init__(
        self,
        sweep: SweepConfig,
        *,
        storage: RDBStorage,
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
        super().__init__(
            space=distributions(sweep.dimensions),
            metric=VALUE,
            mode=sweep.objective.direction,
            storage=storage,
            study_name=name,
            sampler=sampler(sweep.search, number=0),
        )
        self._sweep, self._dimensions = sweep, sweep.dimensions
        self._names = self._dimensions.keys()
        self._study = cast(optuna.Study, self._ot_study)
        self._outside: set[str] = set()  # ids of trials that the study does not know
        self._left = {identity(trial.params): trial for trial in self._take_over(storage)}
        known = {identity(one): one for one in first}
        self._first = [*known.values()]
        self._first += [one.params for text, one in self._left.items() if text not in known]
        self._tried = {
            identity(trial.params)
            for trial in self._study.get_trials(deepcopy=False)
            if trial.params.keys() == self._names
        } | {identity(one) for one in earlier}

    def _take_over(self, storage: RDBStorage) -> list[FrozenTrial]:
        """Trials that a killed session had begun; what it had not even drawn is closed."""
        running = []
        for trial in self._study.get_trials(states=(TrialState.RUNNING, TrialState.WAITING)):
            if trial.state == TrialState.RUNNING and trial.params.keys() == self._names:
                running.append(trial)
            else:
                storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        return running

    def suggest(self, trial_id: str) -> Any:
        """The next configuration, or that there is none."""
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
        self._ot_trials[trial_id] = trial
        return trial.params

    def _begin(self, trial_id: str, configuration: Configuration) -> Configuration:
        """Start a given configuration; the study hears of it only if it lies in the space."""
        text = identity(configuration)
        self._tried.add(text)
        if text in self._left:
            self._ot_trials[trial_id] = optuna.trial.Trial(self._study, self._left[text]._trial_id)
        elif all(one.holds(configuration[name]) for name, one in self._dimensions.items()):
            self._study.enqueue_trial(configuration)
            self._ot_trials[trial_id] = self._ask()
        else:
            self._outside.add(trial_id)
        return configuration

    def _ask(self) -> optuna.Trial:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self._study.ask(distributions(self._dimensions))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the study the mean so far, once for each rung."""
        if trial_id in self._outside:
            return
        trial = self._study.get_trials(deepcopy=False)[self._ot_trials[trial_id].number]
        if result[RUNG] not in trial.intermediate_values:
            super().on_trial_result(trial_id, {**result, _STEP: result[RUNG]})

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the study how a trial ended: one without all splits has no value, it was pruned."""
        if trial_id not in self._outside:
            if result and RUNG in result:
                self.on_trial_result(trial_id, result)  # Tune does not tell what made it prune
            whole = result if result and result.get("complete") else None
            super().on_trial_complete(trial_id, result=whole, error=error)

    def save(self, checkpoint_path: str) -> None:
        """Leave an empty file for Ray Tune, which is never asked to restore: study.db is ours."""
        Path(checkpoint_path).touch()
