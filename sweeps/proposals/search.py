"""Proposals: first what an earlier session left open, then Optuna's, never the same twice.

Optuna's study outlives the session in study.db; it opens in optuna-dashboard.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import GridSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState
from ray.tune import Callback
from ray.tune.search import Searcher

from sweeps.ledger import Trial
from sweeps.objective import MEANS, RUNG, VALUE
from sweeps.proposals.limits import Counted, Excess
from sweeps.proposals.prior import Observed
from sweeps.proposals.storage import (
    FROM,
    NUMBER,
    TOLD,
    next_number,
    open_study,
    proposed,
    take_number,
)
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.space import ask, distribution, identity, sampler, untried
from sweeps.trials.memory import LIMIT as MEMORY
from sweeps.trials.memory import out_of_memory
from sweeps.trials.reported import Reported

log = logging.getLogger(__name__)

_IN_VAIN = 100  # proposals in a row that need more than they may


class Failures(Callback):
    """Tells a search why trials failed."""

    def __init__(self, search: "ListSearch | StudySearch") -> None:
        self._search = search

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed for good."""
        self._search.failed(trial.trial_id, memory=out_of_memory(trial) is not None)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as an empty callback in Ray Tune's own files."""
        return Callback, ()


class ListSearch(Searcher):
    """Proposes configurations of a list, one after the other."""

    def __init__(self, configurations: Sequence[Configuration]) -> None:
        super().__init__()
        self._left = list(configurations)

    def suggest(self, trial_id: str) -> Any:
        """The next configuration, or the sign that there is none."""
        return self._left.pop(0) if self._left else Searcher.FINISHED

    def on_trial_complete(
        self, trial_id: str, result: Reported | None = None, error: bool = False
    ) -> None:
        """Nothing follows from how a trial ended."""

    def failed(self, trial_id: str, *, memory: bool) -> None:
        """Nothing follows from how a trial failed."""

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
        earlier: Sequence[Trial],
        first: Sequence[Configuration],
        observed: Sequence[Observed] = (),
        trials: int | None = None,
        enough: Callable[[], bool] = lambda: False,
        numbers: dict[str, int] | None = None,
    ) -> None:
        """Continue the sweep's study.

        Args:
            sweep: The sweep.
            storage: Of the study.
            name: Of the study.
            earlier: Trials of earlier sessions; the study lacks those outside the space.
            first: Configurations to run before the search proposes any.
            observed: Finished trials of other sweeps; told to a study that has none of its own.
            trials: That may be begun, without infeasible ones; none: no limit.
            enough: Whether nothing more is to be proposed for now.
            numbers: Is filled with the numbers of trials in the study, by their identity.
        """
        super().__init__(metric=VALUE, mode=sweep.objective.direction)
        self._sweep, self._space, self._storage = sweep, sweep.whole_space, storage
        self._counted, self._left_to_begin, self._enough = Counted(sweep), trials, enough
        self._live: set[str] = set()  # Ray Tune's ids
        self._in_vain, self.left_out = 0, 0
        self._study = open_study(sweep, storage=storage, name=name, earlier=earlier)
        self._numbers = {} if numbers is None else numbers
        self._numbers |= {identity(one.configuration): one.number for one in earlier}
        self._trials: dict[str, optuna.Trial] = {}  # by Ray Tune's id
        self._failed: dict[str, optuna.Trial] = {}  # of which it is not known why
        self._reported: dict[str, set[int]] = {}  # rungs, by Ray Tune's id
        self._close_half_begun()
        anew = self._close_numbered_twice()
        self._tell_observed(observed)
        # The study counts from 0, the sweep from 1; older sweeps had numbers of their own.
        take_number(self._study, at_least=max([0, *self._numbers.values()]) + 1)
        known = {
            identity(whole): one
            for one in self._study.get_trials(deepcopy=False)
            if FROM not in one.user_attrs and (whole := self._whole(one)) is not None
        }
        self._left = {key: one for key, one in known.items() if one.state == TrialState.RUNNING}
        self._told = {key for key, one in known.items() if one.state in TOLD}
        left = [self._whole(one) for one in self._left.values()]
        wanted = [*first, *(one for one in left if one is not None), *anew]
        self._first = list({identity(one): one for one in wanted}.values())
        self._tried = known.keys() | self._numbers.keys()

    def _tell_observed(self, observed: Sequence[Observed]) -> None:
        """Give a new study what other sweeps have found; a restart finds it there."""
        there = self._study.get_trials(deepcopy=False)
        if not all(FROM in one.user_attrs for one in there):
            return
        before = [(one.user_attrs[FROM], one.params) for one in there]
        for one in observed:
            own = self._space.parameters(one.configuration)
            if (one.sweep, own) in before:  # a killed session has told it
                continue
            known = {name: distribution(self._space.dimensions[name]) for name in own}
            self._study.add_trial(
                optuna.create_trial(
                    params=own,
                    distributions=known,
                    values=list(one.values),
                    user_attrs={FROM: one.sweep},
                )
            )

    def _close_half_begun(self) -> None:
        """Close what a killed session had begun to propose."""
        while any(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))):
            self._study.tell(self._study.ask(), state=TrialState.FAIL)
        for one in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._whole(one) is None:
                self._study.tell(one.number, state=TrialState.FAIL)

    def _close_numbered_twice(self) -> list[Configuration]:
        """Close proposals that never began, and whose numbers other trials have; what they were.

        An older study counts from 0; one that was left in another place knows no later trials.
        """
        taken, found = {0, *self._numbers.values()}, []
        for one in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            whole = self._whole(one)
            if whole is not None and identity(whole) not in self._numbers and one.number in taken:
                self._study.tell(one.number, state=TrialState.FAIL)
                found.append(whole)
        return found

    def _whole(self, trial: FrozenTrial) -> Configuration | None:
        return proposed(self._sweep, trial)

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
            if key not in self._numbers:
                self._numbers[key] = next_number(self._study)
            self._tried.add(key)
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
        key = identity(configuration)
        self._tried.add(key)
        trial.set_user_attr(NUMBER, self._numbers.setdefault(key, trial.number))
        self._trials[trial_id] = trial
        return configuration

    def on_trial_result(self, trial_id: str, result: Reported) -> None:
        """Tell the study the mean so far, once for each rung."""
        if "infeasible" in result:
            return
        self._in_vain = 0
        rungs = self._reported.setdefault(trial_id, set())
        if trial_id in self._trials and result[RUNG] not in rungs:
            rungs.add(result[RUNG])
            if self._sweep.objective.further:
                return  # Optuna takes no value between for several metrics
            self._trials[trial_id].report(result[VALUE], step=result[RUNG])

    def on_trial_complete(
        self, trial_id: str, result: Reported | None = None, error: bool = False
    ) -> None:
        """Tell the study how a trial ended; one that did not finish all splits counts as pruned."""
        self._live.discard(trial_id)
        if result and RUNG in result:
            self.on_trial_result(trial_id, result)  # Tune does not tell what made it prune
        trial = self._trials.pop(trial_id, None)
        if result and "infeasible" in result:
            self._give_back(trial, result)
        elif trial is not None and result and result.get("complete"):
            self._study.tell(trial, self._values(result), state=TrialState.COMPLETE)
        elif trial is not None and error:
            self._failed[trial_id] = trial
        elif trial is not None:
            self._study.tell(trial, state=TrialState.PRUNED)

    def _values(self, result: Reported) -> list[float]:
        """A finished trial's mean by each metric; Ray Tune flattens what it hands to a search."""
        further = self._sweep.objective.further
        return [result[VALUE], *(result[f"{MEANS}/{one.metric}"] for one in further)]

    def failed(self, trial_id: str, *, memory: bool) -> None:
        """Tell the study of a trial that has failed; Ray Tune says why after `on_trial_complete`.

        One that ran out of memory violates a constraint. tpe ranks what does so behind everything
        else; cmaes and nsga2 leave it out of their populations; random, grid and qmc learn from
        nothing. Its state is "pruned", since Optuna passes over what has failed.
        """
        trial = self._failed.pop(trial_id, None)
        if trial is None:
            return
        if memory:
            trial.set_constraint(MEMORY, 1.0)  # by how much is not known
        self._study.tell(trial, state=TrialState.PRUNED if memory else TrialState.FAIL)

    def _give_back(self, trial: optuna.Trial | None, result: Reported) -> None:
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
