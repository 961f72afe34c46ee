"""Proposals: first what an earlier session left open, then Optuna's, never the same twice.

Optuna's study outlives the session in study.db; it opens in optuna-dashboard.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import GridSampler, RandomSampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from sweeps.objective import RUNG, VALUE
from sweeps.proposals.limits import Counted, Excess
from sweeps.proposals.prior import Observed
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.space import ask, distribution, identity, sampler, untried

log = logging.getLogger(__name__)

FROM = "from"  # user attribute of a trial of another sweep: where that is
NUMBER = "trial"  # user attribute of a trial in the study: its number in the sweep
_IN_VAIN = 100  # proposals in a row that need more than they may
_TOLD = (TrialState.COMPLETE, TrialState.PRUNED)


def open_storage(study: Path) -> RDBStorage:
    """The study's SQLite file."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return RDBStorage(
        f"sqlite:///{study.resolve()}", engine_kwargs={"connect_args": {"timeout": 60}}
    )


class ListSearch(Searcher):
    """Proposes configurations of a list, one after the other."""

    def __init__(self, configurations: Sequence[Configuration]) -> None:
        super().__init__()
        self._left = list(configurations)

    def suggest(self, trial_id: str) -> Any:
        """The next configuration, or the sign that there is none."""
        return self._left.pop(0) if self._left else Searcher.FINISHED

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing follows from how a trial ended."""

    def save(self, checkpoint_path: str) -> None:
        """Leave an empty file for Ray Tune, which is never asked to restore."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Never asked for; see `save`."""
        raise NotImplementedError("what is missing is known from the ledger")

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as an empty searcher in Ray Tune's own files."""
        return Searcher, ()


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
        observed: Sequence[Observed] = (),
        trials: int | None = None,
        enough: Callable[[], bool] = lambda: False,
    ) -> None:
        """Continue the sweep's study.

        Args:
            sweep: The sweep.
            storage: Of the study.
            name: Of the study.
            earlier: Configurations of earlier sessions, in the order in which they began; the study
                lacks those outside the space.
            first: Configurations to run before the search proposes any.
            observed: Finished trials of other sweeps; told to a study that has none of its own.
            trials: That may be begun, without infeasible ones; none: no limit.
            enough: Whether nothing more is to be proposed for now.
        """
        super().__init__(metric=VALUE, mode=sweep.objective.direction)
        self._sweep, self._space, self._storage = sweep, sweep.whole_space, storage
        self._counted, self._left_to_begin, self._enough = Counted(sweep), trials, enough
        self._live: set[str] = set()  # Ray Tune's ids
        self._in_vain, self.left_out = 0, 0
        self._study = optuna.create_study(
            study_name=name,
            storage=storage,
            sampler=RandomSampler(seed=0),  # proposes nothing; see `_ask`
            direction="minimize" if sweep.objective.direction == "min" else "maximize",
            load_if_exists=True,
        )
        self._numbers = {identity(one): number for number, one in enumerate(earlier, start=1)}
        self._trials: dict[str, optuna.Trial] = {}  # by Ray Tune's id
        self._reported: dict[str, set[int]] = {}  # rungs, by Ray Tune's id
        self._close_half_begun()
        self._tell_observed(observed)
        known = {
            identity(whole): one
            for one in self._study.get_trials(deepcopy=False)
            if FROM not in one.user_attrs and (whole := self._whole(one)) is not None
        }
        self._left = {key: one for key, one in known.items() if one.state == TrialState.RUNNING}
        self._told = {key for key, one in known.items() if one.state in _TOLD}
        left = [self._whole(one) for one in self._left.values()]
        wanted = [*first, *(one for one in left if one is not None)]
        self._first = list({identity(one): one for one in wanted}.values())
        self._tried = known.keys() | self._numbers.keys()

    def _tell_observed(self, observed: Sequence[Observed]) -> None:
        """Give a new study what other sweeps have found; a restart finds it there."""
        if self._study.get_trials(deepcopy=False):
            return
        for one in observed:
            own = self._space.parameters(one.configuration)
            known = {name: distribution(self._space.dimensions[name]) for name in own}
            self._study.add_trial(
                optuna.create_trial(
                    params=own, distributions=known, value=one.value, user_attrs={FROM: one.sweep}
                )
            )

    def _close_half_begun(self) -> None:
        """Close what a killed session had begun to propose."""
        while any(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))):
            self._study.tell(self._study.ask(), state=TrialState.FAIL)
        for one in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._whole(one) is None:
                self._study.tell(one.number, state=TrialState.FAIL)

    def _whole(self, trial: FrozenTrial) -> Configuration | None:
        """The configuration of a trial in the study; none if it was not proposed to its end."""
        try:
            return self._space.complete(trial.params.__getitem__)
        except KeyError:
            return None

    def suggest(self, trial_id: str) -> Any:
        """The next configuration, the sign that there is none, or None: ask again later."""
        if self._spent():
            # A trial that runs may turn out to be infeasible, or better than all.
            return None if self._live else Searcher.FINISHED
        proposed = self._first.pop(0) if self._first else None
        found = self._propose(trial_id) if proposed is None else self._begin(trial_id, proposed)
        if found is None:
            return Searcher.FINISHED
        self._live.add(trial_id)
        if self._left_to_begin is not None:
            self._left_to_begin -= 1
        return found

    def _spent(self) -> bool:
        if self._left_to_begin is not None and self._left_to_begin <= 0:
            return True
        return not self._first and self._enough()

    def _propose(self, trial_id: str) -> Configuration | None:
        """What the sampler proposes, was not tried and is within the limits; None at the end."""
        if self._sweep.configurations:
            return None
        while self._in_vain < _IN_VAIN:
            asked = self._ask()
            if asked is None:
                return None
            trial, configuration = asked
            again = identity(configuration) in self._tried
            found = None if again else self._counted.excess(configuration)
            if found is not None:
                self._refuse(trial, configuration, found)
            elif not again:
                return self._running(trial_id, trial, configuration)
            else:
                self._study.tell(trial, state=TrialState.FAIL)
            if again and self._sweep.search.sampler != "grid":
                return self._anything_else(trial_id)
        log.warning(
            "the last %d proposals exceed limits; raise these, or make space smaller",
            self._in_vain,
        )
        return None

    def _anything_else(self, trial_id: str) -> Configuration | None:
        """A random configuration that was not tried, where the sampler repeats itself."""
        for _ in range(_IN_VAIN):
            seed = self._sweep.search.seed
            fresh = untried(self._space, tried=self._tried, seed=seed, number=len(self._tried))
            if fresh is None:
                return None
            found = self._counted.excess(fresh)
            if found is None:
                return self._begin(trial_id, fresh)
            self._refuse(self._given(fresh), fresh, found)
        return None

    def _refuse(self, trial: optuna.Trial, configuration: Configuration, found: Excess) -> None:
        """Tell the study that a configuration is infeasible."""
        self._tried.add(identity(configuration))
        self._in_vain += 1
        self.left_out += 1
        log.debug("left out %s: %s", configuration, found.line)
        trial.set_constraint(found.limit, found.share)
        self._study.tell(trial, state=TrialState.PRUNED)

    def _ask(self) -> tuple[optuna.Trial, Configuration] | None:
        """What the sampler proposes; None at the end of a grid."""
        known = sampler(self._sweep.search, space=self._space, number=len(self._tried))
        if isinstance(known, GridSampler) and known.is_exhausted(self._study):
            return None
        self._study.sampler = known
        try:
            return ask(self._study, self._space)
        finally:
            # A grid's sampler would stop a loop of Optuna's own when it is told of its last point.
            self._study.sampler = RandomSampler(seed=0)

    def _begin(self, trial_id: str, configuration: Configuration) -> Configuration:
        """Start a given configuration; the study is told only if it lies in the space."""
        key = identity(configuration)
        if key in self._left:
            trial = self._again(self._left.pop(key), trial_id)
        elif key not in self._told and self._space.holds(configuration):
            trial = self._given(configuration)
        else:
            self._number(configuration)
            return configuration
        return self._running(trial_id, trial, configuration)

    def _given(self, configuration: Configuration) -> optuna.Trial:
        """A trial of the study with values that no sampler proposed."""
        self._study.enqueue_trial(self._space.parameters(configuration))
        return ask(self._study, self._space)[0]

    def _again(self, left: FrozenTrial, trial_id: str) -> optuna.Trial:
        """Go on with a trial of a killed session, so that the study holds it once."""
        study = self._storage.get_study_id_from_name(self._study.study_name)
        number = self._storage.get_trial_id_from_study_id_trial_number(study, left.number)
        self._reported[trial_id] = set(left.intermediate_values)
        return optuna.Trial(self._study, number)

    def _running(
        self, trial_id: str, trial: optuna.Trial, configuration: Configuration
    ) -> Configuration:
        trial.set_user_attr(NUMBER, self._number(configuration))
        self._trials[trial_id] = trial
        return configuration

    def _number(self, configuration: Configuration) -> int:
        """Which trial of the sweep it is: Optuna counts from 0, and only what it was told of."""
        key = identity(configuration)
        self._tried.add(key)
        return self._numbers.setdefault(key, len(self._numbers) + 1)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the study the mean so far, once for each rung."""
        if "infeasible" in result:
            return
        self._in_vain = 0
        rungs = self._reported.setdefault(trial_id, set())
        if trial_id in self._trials and result[RUNG] not in rungs:
            rungs.add(result[RUNG])
            self._trials[trial_id].report(result[VALUE], step=result[RUNG])

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the study how a trial ended; one that did not finish all splits counts as pruned."""
        self._live.discard(trial_id)
        if result and RUNG in result:
            self.on_trial_result(trial_id, result)  # Tune does not tell what made it prune
        trial = self._trials.pop(trial_id, None)
        if result and "infeasible" in result:
            self._give_back(trial, result)
        elif trial is not None and result and result.get("complete"):
            self._study.tell(trial, result[VALUE])
        elif trial is not None:
            self._study.tell(trial, state=TrialState.FAIL if error else TrialState.PRUNED)

    def _give_back(self, trial: optuna.Trial | None, result: dict[str, Any]) -> None:
        """A trial was measured and not trained: another one may begin for it."""
        self._in_vain += 1
        self.left_out += 1
        if self._left_to_begin is not None:
            self._left_to_begin += 1
        if trial is not None:
            trial.set_constraint(result["limit"], result["share"])
            self._study.tell(trial, state=TrialState.PRUNED)

    def save(self, checkpoint_path: str) -> None:
        """Leave an empty file for Ray Tune, which is never asked to restore: study.db is ours."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Never asked for; see `save`."""
        raise NotImplementedError("a sweep goes on from study.db")

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as an empty searcher in Ray Tune's own files."""
        return Searcher, ()
