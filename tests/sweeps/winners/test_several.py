"""Several metrics: what is on the front, what is best, and what a study is told."""

import re
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from ray.tune.utils import flatten_dict

from sweeps import SweepConfig
from sweeps.budget import without_gain
from sweeps.ledger import Ledger, Trial
from sweeps.lock import Locked
from sweeps.proposals.confirm import missing
from sweeps.proposals.search import StudySearch
from sweeps.results import choice, finalists, leaderboard, write_leaderboard
from sweeps.schema.files import make_sweep, spelled_out
from sweeps.space import identity, trial_key
from sweeps.winners.front import front

TWO = [{"metric": "mse"}, {"metric": "pearson_delta"}]


def sweep_of(tiny: dict[str, Any], sampler: str = "tpe", **changes: Any) -> SweepConfig:
    startup = {"startup": 4} if sampler in ("tpe", "nsga2") else {}
    search = {"sampler": sampler, "seed": 5, **startup}
    return make_sweep({**tiny, "objective": TWO, "search": search, **changes}, where="sweep")


def trial(sweep: SweepConfig, number: int, mse: float, pearson: float) -> Trial:
    k = {"graph.k": 4 * number} if number > 1 else {}
    return Trial(
        str(number), number, {**sweep.baseline, **k}, baseline=number == 1, state="complete",
        values={0: mse, 1: mse},
        further={0: {"pearson_delta": pearson - 0.1}, 1: {"pearson_delta": pearson + 0.1}},
    )  # fmt: skip


@pytest.fixture
def trials(tiny: dict[str, Any]) -> list[Trial]:
    """Of which 2, 4 and 5 are on the front: less mse, more pearson_delta."""
    scores = [(0.5, 0.5), (0.1, 0.2), (0.3, 0.2), (0.3, 0.6), (0.4, 0.9), (0.1, 0.1)]
    return [trial(sweep_of(tiny), at, *one) for at, one in enumerate(scores, start=1)]


def test_what_no_other_trial_beats_in_both_is_the_front(
    tiny: dict[str, Any], trials: list[Trial], tmp_path: Path
) -> None:
    sweep = sweep_of(tiny)
    assert [one.number for one in front(trials, objective=sweep.objective)] == [2, 4, 5]
    rows = leaderboard(sweep, trials)
    # The best of the front by the first metric; 6 has as little mse, and less pearson_delta.
    assert [row.trial for row in rows][:2] == [2, 6]
    assert [row.trial for row in rows if row.front] == [2, 4, 5]
    assert rows[0].further == {"pearson_delta": pytest.approx(0.2)}
    assert choice(sweep, rows).endswith("; on the front of mse and pearson_delta: trials 2, 4, 5")
    write_leaderboard(rows, path=tmp_path / "board.csv")
    head, first, *_ = (tmp_path / "board.csv").read_text().splitlines()
    assert "value,sd,front,pearson_delta,split 0" in head
    assert first.startswith("1,2,complete,False,0.1,0.0,True,0.2,0.1")
    one = make_sweep({**tiny, "objective": TWO[0]}, where="sweep")
    assert not any(row.front or row.further for row in leaderboard(one, trials))
    # Without gain are trials that began after the newest one of the front.
    assert (without_gain(sweep, trials), without_gain(one, trials)) == (1, 4)


def test_only_what_is_on_the_front_is_confirmed_and_called_best(
    tiny: dict[str, Any], trials: list[Trial]
) -> None:
    sweep = sweep_of(tiny, confirm={"top": 2, "seeds": 2})
    wanted = missing(sweep, [one.configuration for one in finalists(sweep, trials)], repeats=())
    keys = [one.confirms for one in wanted]
    # 6 has as little mse as 2, and less pearson_delta; 1 is the base.
    assert keys == [trial_key(sweep, trials[at - 1].configuration) for at in (2, 4, 1)]
    again = {1: 0.01, 2: 0.9, 4: 0.3, 6: 0.01}
    for one in trials:
        one.key = trial_key(sweep, one.configuration)
    repeats = []
    for number, mse in again.items():
        one = trial(sweep, number, mse, 0.1)
        one.confirms, one.key = trials[number - 1].key, f"{number} again"
        one.configuration = {**one.configuration, "seed": 1}
        repeats.append(one)
    rows = leaderboard(sweep, trials, repeats)
    assert [row.trial for row in rows] == [4, 2, 6, 3, 5, 1]
    assert (rows[0].front, rows[0].over_seeds) == (True, pytest.approx(0.3))


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random", "qmc"])
def test_a_study_of_several_metrics_is_told_all_and_goes_on_after_a_stop(
    tiny: dict[str, Any], sampler: str
) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sweep, storage, begun = sweep_of(tiny, sampler), InMemoryStorage(), list[Trial]()
    numbers: dict[str, int] = {}

    def session() -> StudySearch:
        first = () if begun else [sweep.baseline]
        return StudySearch(
            sweep, storage=storage, name="two", earlier=begun, first=first, numbers=numbers
        )

    search = session()
    for number in range(1, 11):
        if number == 7:
            search = session()
        proposed = search.suggest(str(number))
        k, width = int(proposed["graph.k"]), int(proposed["model.width"])
        means = {"pearson_delta": width / 16}
        search.on_trial_result(str(number), {"value": 0.2, "rung": 1})
        ends = {"value": k / 12, "rung": 2, "complete": True, "means": means}
        search.on_trial_complete(str(number), flatten_dict(ends))  # as Ray Tune does
        own = numbers[identity(proposed)]
        begun.append(Trial(str(number), own, proposed, baseline=number == 1, state="complete"))
    study = optuna.load_study(study_name="two", storage=storage)
    assert [one.name for one in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    # A number that is missing was a proposal that was there already.
    assert [one.number for one in study.trials if one.values] == [one.number for one in begun]
    assert study.trials[1].values == [pytest.approx(4 / 12), 1.0]
    search.suggest("short")
    with pytest.raises(KeyError, match="means/pearson_delta"):
        search.on_trial_complete("short", {"value": 0.1, "rung": 2, "complete": True})


def test_a_list_of_one_is_that_metric_and_older_files_load(tiny: dict[str, Any]) -> None:
    one = sweep_of(tiny, objective=[{"metric": "mae"}])
    assert one.objective == sweep_of(tiny, objective={"metric": "mae"}).objective
    two = sweep_of(tiny)
    assert two.objective.names == ("mse", "pearson_delta")
    assert make_sweep(spelled_out(two), where="again").objective == two.objective
    locked = Locked.of(two.model_copy(update={"base": {**two.base}}), fingerprint="f" * 64)
    older = locked.model_dump(mode="json")
    older["objective"] = {"metric": "mse", "mode": None, "aggregate": "mean"}
    assert Locked.model_validate(older).objective.further == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objective": []}, "expected metrics, each as {metric: NAME}, got []; correct it"),
        ({"objective": ["mse"]}, "each as {metric: NAME}, got ['mse']; correct it"),
        ({"objective": [*TWO, TWO[0]]}, "expected metrics that differ, got mse twice"),
        ({"search": {"sampler": "cmaes"}}, "cmaes takes one metric, got several"),
        ({"objective": TWO[0], "search": {"sampler": "nsga2"}}, "is for several metrics, got one"),
        ({"search": {"sampler": "nsga2", "startup": 1}}, "a generation of 2 trials or more"),
        ({"search": {"sampler": "nsga2", "from": ["a"]}}, "learns from its own generations"),
        ({"base": {"validation": {"metric": "mae"}}}, "base.validation.metric is 'mae'"),
    ],
)
def test_what_does_not_go_with_several_metrics_is_one_line(
    tiny: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    changes = {**changes, "base": {**tiny["base"], **changes.get("base", {})}}
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        sweep_of(tiny, **changes)
    assert "\n" not in str(caught.value)


def test_further_scores_are_in_the_ledger_and_come_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    tried = {"graph.k": 4}
    ledger.write(
        {"event": "start", "trial": "a", "configuration": tried, "baseline": False, "number": 7}
    )
    for split, score in enumerate((0.2, 0.4)):
        further = {"pearson_delta": score}
        ledger.write(
            {"event": "split", "trial": "a", "split": split, "value": 1.0, "further": further}
        )
    (found,) = ledger.trials()
    assert (found.number, found.mean_of("pearson_delta")) == (7, pytest.approx(0.3))
