"""Configurations that need more than they may are never trained, and the study is told."""

import logging
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from ray.tune.search import Searcher

from cluster.work.build import first_weights
from cluster.work.cost.limited import Cost
from cluster.work.cost.parameters import count_parameters
from cluster.work.cost.steps import vocabulary
from scdfm.gene_graph.graph import none_graph
from sweeps import SweepConfig
from sweeps.proposals.limits import Counted, judged, measured_excess
from sweeps.proposals.search import StudySearch
from sweeps.proposals.storage import NUMBER
from sweeps.schema.files import make_sweep
from sweeps.schema.rules import LimitsConfig

WIDTHS = {"model.width": {"type": "choice", "values": [16, 32, 64, 128]}}


@pytest.fixture
def wide(tiny: dict[str, Any], tiny_sweep: SweepConfig) -> SweepConfig:
    """A sweep over widths, of which the widest two have too many weights."""
    sweep = make_sweep({**tiny, "base": tiny_sweep.base, "space": WIDTHS}, where="sweep")
    limit = count_parameters(sweep.run({"model.width": 32}, split=0))
    return make_sweep(
        {**sweep.model_dump(mode="json"), "limits": {"parameters": limit}}, where="sweep"
    )


def search(sweep: SweepConfig, storage: InMemoryStorage, trials: int = 9) -> StudySearch:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return StudySearch(
        sweep, storage=storage, name="toy", earlier=(), first=[sweep.baseline], trials=trials
    )


@pytest.mark.parametrize(
    "changes", [{}, {"model.base_channel": True}, {"model.rank": 4}, {"model.variant": "release"}]
)
def test_weights_are_counted_without_their_memory(
    tiny_sweep: SweepConfig, changes: dict[str, Any]
) -> None:
    run = tiny_sweep.run(changes, split=0)
    names = vocabulary(run)
    network = first_weights(run, seed=0, vocabulary=names, graph=none_graph(len(names.genes)))
    assert count_parameters(run) == sum(weight.numel() for weight in network.parameters())
    wide = tiny_sweep.run({**changes, "model.width": 65536, "model.layers": 4}, split=0)
    assert count_parameters(wide, names) > 10**10  # 40 GB of them


def test_what_has_too_many_weights_is_never_proposed_and_the_study_knows(
    wide: SweepConfig,
) -> None:
    storage = InMemoryStorage()
    asked = search(wide, storage)
    found = [asked.suggest(str(number)) for number in range(2)]
    assert [one["model.width"] for one in found] == [16, 32]
    for number in range(2):
        told = {"value": 1.0, "rung": 2, "complete": True}
        asked.on_trial_complete(str(number), told)
    assert asked.suggest("2") == Searcher.FINISHED
    study = optuna.load_study(study_name="toy", storage=storage)
    refused = {
        one.params["model.width"]: one.constraints for one in study.get_trials() if one.constraints
    }
    assert refused.keys() == {64, 128}
    assert all(one["parameters"] > 0 for one in refused.values())
    assert refused[64]["parameters"] < refused[128]["parameters"]


def test_a_trial_that_was_measured_and_left_out_gives_its_place_to_another(
    wide: SweepConfig,
) -> None:
    storage = InMemoryStorage()
    asked = search(wide, storage, trials=1)
    asked.suggest("0")
    assert asked.suggest("1") is None  # until it is known how the first one ends
    needs = {
        "infeasible": "it needs 9 GiB",
        "limit": "memory",
        "share": 2.0,
        "value": 0.0,
        "rung": 0,
    }
    asked.on_trial_complete("0", needs)
    assert asked.suggest("2")["model.width"] == 32
    asked.on_trial_complete("2", {"value": 1.0, "rung": 2, "complete": True})
    assert asked.suggest("3") == Searcher.FINISHED
    known = optuna.load_study(study_name="toy", storage=storage).get_trials()
    by_width = {one.params["model.width"]: one for one in known if NUMBER in one.user_attrs}
    assert (by_width[16].state, by_width[16].constraints) == (TrialState.PRUNED, {"memory": 2.0})
    assert (by_width[32].state, by_width[32].constraints) == (TrialState.COMPLETE, {})


def test_a_base_that_exceeds_the_limits_is_refused_in_one_line(wide: SweepConfig) -> None:
    small = wide.model_copy(update={"limits": wide.limits.model_copy(update={"parameters": 9})})
    with pytest.raises(ValueError, match=r"the base exceeds limits: it needs [\d,]+, limits.para"):
        Counted(small).require_first()
    queued = wide.model_copy(update={"enqueue": ({"model.width": 128},)})
    with pytest.raises(ValueError, match="enqueue 1 exceeds limits") as caught:
        Counted(queued).require_first()
    assert "\n" not in str(caught.value)


GIB = 2**30


@pytest.mark.parametrize(
    ("cost", "limits", "exceeds"),
    [
        # The machine has less than the limit, and not even that was enough.
        (Cost(bytes=8 * GIB, available=8 * GIB, stopped="memory"), {"memory": 64}, "memory"),
        # The network alone is above the limit.
        (Cost(bytes=3 * GIB, available=8 * GIB, stopped="time"), {"memory": 2}, "memory"),
        (Cost(step_seconds=60, stopped="time"), {"memory": 2, "step_seconds": 9}, "step_seconds"),
        # Nothing is known against these.
        (Cost(bytes=GIB, available=8 * GIB, stopped="time"), {"memory": 2}, None),
        (Cost(step_seconds=60, stopped="time"), {"step_seconds": 90}, None),
        (Cost(bytes=8 * GIB, available=8 * GIB, stopped="memory"), {"step_seconds": 9}, None),
    ],
)
def test_a_measurement_that_ended_before_a_step_is_never_taken_for_one_within_limits(
    cost: Cost,
    limits: dict[str, float],
    exceeds: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cost = cost.model_copy(update={"at_least": True, "estimated": True})
    with caplog.at_level(logging.WARNING):
        found = judged(cost, LimitsConfig.model_validate(limits))
    assert (found.limit if found else None) == exceeds
    assert found is None or found.share > 0
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == (exceeds is None)
    assert all("it is not known whether limits." in line for line in told)
    whole = cost.model_copy(update={"at_least": False, "bytes": GIB, "step_seconds": 1.0})
    assert judged(whole, LimitsConfig.model_validate(limits)) is None
    assert len(caplog.records) == len(told)


@pytest.mark.slow
def test_memory_and_time_are_measured_once(
    wide: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    memory = wide.model_copy(update={"limits": wide.limits.model_copy(update={"memory": 1e-3})})
    found = measured_excess(wide.baseline, sweep=memory)
    assert found is not None
    assert (found.limit, found.share > 0) == ("memory", True)
    assert "limits.memory is 0.001 GiB" in found.line
    monkeypatch.setattr(
        "sweeps.proposals.limits.measure", None
    )  # from here on, what was kept must do
    enough = wide.limits.model_copy(update={"memory": 64.0, "step_seconds": 60.0})
    assert measured_excess(wide.baseline, sweep=wide.model_copy(update={"limits": enough})) is None
    brief = wide.limits.model_copy(update={"step_seconds": 1e-9})
    slow = measured_excess(wide.baseline, sweep=wide.model_copy(update={"limits": brief}))
    assert slow is not None
    assert slow.limit == "step_seconds"
