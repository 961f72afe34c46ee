"""Every sampler through a stored study, as a search asks it, without Ray's cluster."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState
from ray.tune.search import Searcher

from sweeps import SweepConfig
from sweeps.ledger import Trial
from sweeps.proposals.search import StudySearch
from sweeps.proposals.storage import NUMBER
from sweeps.schema.files import make_sweep
from sweeps.schema.sweep import Configuration
from sweeps.space import identity, trial_key
from sweeps.study import queued

optuna.logging.set_verbosity(optuna.logging.ERROR)

NUMBERS = {
    "loss.mmd_weight": {"type": "float", "low": 0.01, "high": 10, "log": True},
    "graph.k": {"type": "int", "low": 4, "high": 40},
}
STEPS = {
    "graph.k": {"type": "int", "low": 4, "high": 12, "step": 4},
    "model.width": {"type": "choice", "values": [8, 16]},
}
UNDER = {
    "graph.kind": {"type": "choice", "values": ["pearson", "none"]},
    "graph.k": {"type": "int", "low": 4, "high": 12, "step": 4, "when": {"graph.kind": "pearson"}},
}


def sweep_of(
    tiny: dict[str, Any], sampler: str, space: dict[str, Any] | None = None
) -> SweepConfig:
    startup = {"startup": 3} if sampler in ("tpe", "cmaes") else {}
    search = {"sampler": sampler, "seed": 5, **startup}
    return make_sweep(
        {
            **tiny,
            "space": space or (NUMBERS if sampler == "cmaes" else STEPS | NUMBERS),
            "search": search,
        },
        where="sweep",
    )


def trial_of(configuration: Configuration, number: int) -> Trial:
    return Trial(identity(configuration), number, configuration, baseline=number == 1)


def test_a_number_is_proposed_once_however_the_file_writes_it(tiny: dict[str, Any]) -> None:
    space = {
        "model.dropout": {"type": "choice", "values": [0, 0.1]},
        "loss.mmd_weight": {"type": "int", "low": 1, "high": 3},
    }
    base = {**tiny["base"], "loss": {"mmd_weight": 1}}
    base["model"] = {**base["model"], "dropout": 0.0}
    sweep = sweep_of({**tiny, "base": base}, "grid", space)
    assert sweep.whole_space.holds(sweep.baseline)
    search = StudySearch(
        sweep, storage=InMemoryStorage(), name="toy", earlier=[], first=[sweep.baseline]
    )
    found = list(iter(lambda: search.suggest("one"), Searcher.FINISHED))
    assert len(found) == 6
    assert len({trial_key(sweep, one, begun={}) for one in found}) == 6
    older = {"model.dropout": 0.0, "loss.mmd_weight": 1.0}  # as the base was written once
    assert queued(sweep, [replace(trial_of(older, 1), state="complete")]) == []


class Session:
    """A search and what its trials found, over a storage that outlives it."""

    def __init__(
        self,
        sweep: SweepConfig,
        storage: BaseStorage,
        earlier: Sequence[Configuration],
        numbers: dict[str, int],
    ) -> None:
        self.begun, self.numbers = list(earlier), numbers
        self.search = StudySearch(
            sweep,
            storage=storage,
            name="toy",
            earlier=[trial_of(one, numbers[identity(one)]) for one in earlier],
            first=() if earlier else [sweep.baseline],
            numbers=numbers,
        )

    def begin(self) -> tuple[str, Configuration] | None:
        name = f"trial {len(self.begun)} of {id(self)}"
        proposed = self.search.suggest(name)
        if proposed == Searcher.FINISHED:
            return None
        self.begun.append(proposed)
        return name, proposed

    def end(self, name: str, proposed: Configuration) -> None:
        found = {"value": value(proposed), "rung": 2, "complete": True}
        self.search.on_trial_result(name, {**found, "rung": 1})
        self.search.on_trial_complete(name, found)


def value(proposed: Configuration) -> float:
    return sum(abs(one - 7) for one in proposed.values() if isinstance(one, int | float))


def proposals(
    sweep: SweepConfig, *, trials: int, killed_at: Sequence[int] = ()
) -> list[Configuration]:
    """What is proposed, with sessions that are killed while a trial runs."""
    storage = InMemoryStorage()
    session = Session(sweep, storage, (), {})
    for number in range(trials):
        begun = session.begin()
        if begun is None:
            break
        if number in killed_at:
            session = Session(sweep, storage, session.begun[:-1], session.numbers)
            begun = session.begin()
            assert begun is not None
        session.end(*begun)
    study = optuna.load_study(study_name="toy", storage=storage)
    known = [one for one in study.get_trials() if NUMBER in one.user_attrs]
    whole = {
        one.user_attrs[NUMBER]: sweep.whole_space.complete(one.params.__getitem__) for one in known
    }
    begun = {session.numbers[identity(one)]: one for one in session.begun}
    assert whole == {number: one for number, one in begun.items() if number in whole}
    assert list(begun) == sorted(begun)
    assert all(one.user_attrs[NUMBER] == one.number for one in known)
    assert all(one.state == TrialState.COMPLETE for one in known)  # a trial is there once
    return session.begun


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid", "qmc", "cmaes"])
def test_killed_sessions_change_no_proposal(tiny: dict[str, Any], sampler: str) -> None:
    sweep = sweep_of(tiny, sampler, STEPS if sampler == "grid" else None)
    calm = proposals(sweep, trials=9)
    assert len(calm) >= 6
    assert calm[0] == sweep.baseline
    assert len({identity(one) for one in calm}) == len(calm)
    assert proposals(sweep, trials=9, killed_at=(0, 3, 5)) == calm


def test_a_grid_is_every_point_once(tiny: dict[str, Any]) -> None:
    found = proposals(sweep_of(tiny, "grid", STEPS), trials=99)
    assert sorted((one["graph.k"], one["model.width"]) for one in found) == [
        (k, width) for k in (4, 8, 12) for width in (8, 16)
    ]


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_a_condition_leaves_no_two_configurations_alike(tiny: dict[str, Any], sampler: str) -> None:
    sweep = sweep_of(tiny, sampler, UNDER)
    usual = sweep.baseline["graph.k"]
    found = proposals(sweep, trials=99, killed_at=(1,))
    assert sorted((one["graph.kind"], one["graph.k"]) for one in found) == [
        ("none", usual),
        *(("pearson", k) for k in (4, 8, 12)),
    ]


def test_quasi_random_points_cover_each_half_alike(tiny: dict[str, Any]) -> None:
    found = proposals(sweep_of(tiny, "qmc", NUMBERS), trials=18)[2:]  # the base, and a random one
    for name, middle in (("loss.mmd_weight", 0.01 * 1000**0.5), ("graph.k", 22)):
        low = sum(one[name] < middle for one in found)  # type: ignore[operator]
        assert 7 <= low <= 9


@pytest.mark.parametrize(
    ("sampler", "space", "said"),
    [
        ("grid", NUMBERS, "got the range loss.mmd_weight; give it a step"),
        (
            "grid",
            {"graph.k": {"type": "int", "low": 1, "high": 99999}},
            "at most 10,000 points, got 99,999",
        ),
        ("cmaes", STEPS, "takes numbers only, got the choice model.width"),
        ("cmaes", {"graph.k": NUMBERS["graph.k"]}, "needs two settings at least, got 1"),
        ("cmaes", UNDER, "takes no setting with `when`, got graph.k"),
        ("qmc", UNDER, "takes no setting with `when`, got graph.k"),
    ],
)
def test_a_space_that_a_sampler_cannot_search_is_refused_in_one_line(
    tiny: dict[str, Any], sampler: str, space: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=f"search.sampler {sampler} ") as caught:
        sweep_of(tiny, sampler, space)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tpe_finds_more_in_as_many_trials_than_random_does(tiny: dict[str, Any]) -> None:
    def best(sampler: str, seed: int) -> float:
        sweep = sweep_of(tiny, sampler, NUMBERS)
        search = sweep.search.model_copy(update={"seed": seed})
        return min(map(value, proposals(sweep.model_copy(update={"search": search}), trials=40)))

    better = [best("tpe", seed) < best("random", seed) for seed in range(5)]
    assert sum(better) >= 4  # benchmarks/sweep.py has 20 seeds
