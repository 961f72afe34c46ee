"""Settings that are tried under a condition, follow from others, or are queued."""

from typing import Any

import pytest

from sweeps import SweepConfig
from sweeps.dry_run import described, first_configurations
from sweeps.proposals.measured import extremes
from sweeps.schema.dimension import Dimension
from sweeps.schema.files import make_sweep, spelled_out
from sweeps.schema.space import Space

WIDTH = {"type": "choice", "values": [16, 32, 64]}
TIED = {"model.width": WIDTH, "model.heads": {"tie": "model.width // 16"}}
UNDER = {
    "graph.kind": {"type": "choice", "values": ["pearson", "none"]},
    "graph.k": {"type": "int", "low": 4, "high": 12, "when": {"graph.kind": "pearson"}},
}


def sweep_of(tiny: dict[str, Any], **changes: Any) -> SweepConfig:
    return make_sweep({**tiny, **changes}, where="sweep")


def test_a_tied_setting_follows_from_the_others_in_every_proposal(tiny: dict[str, Any]) -> None:
    sweep = sweep_of(tiny, space=TIED, budget={"trials": 5})
    base, *proposed = first_configurations(sweep)
    assert base == sweep.baseline
    assert proposed
    assert all(one["model.heads"] == one["model.width"] // 16 for one in proposed)
    assert all(type(one["model.heads"]) is int for one in proposed)
    assert all(sweep.whole_space.holds(one) for one in proposed)
    assert sweep.whole_space.parameters(proposed[0]).keys() == {"model.width"}
    assert extremes(sweep)["largest"] == {"model.width": 64, "model.heads": 4}
    assert described(sweep)["model.heads"] == "= model.width // 16"


def test_a_whole_number_that_comes_from_a_division_is_one_configuration() -> None:
    space = Space(
        {"a": Dimension(type="int", low=1, high=9), "b": Dimension(tie="a * 8 / 4")},
        base={"a": 1, "b": 2},
    )
    whole = space.complete(lambda name: 3)
    assert whole == {"a": 3, "b": 6}
    assert type(whole["b"]) is int


def test_a_setting_is_proposed_under_its_condition_only(tiny: dict[str, Any]) -> None:
    sweep = sweep_of(tiny, space=UNDER, budget={"trials": 12})
    found = list(first_configurations(sweep)[1:])
    usual = sweep.baseline["graph.k"]
    without = [one for one in found if one["graph.kind"] == "none"]
    assert without
    assert all(one["graph.k"] == usual for one in without)
    assert "graph.k" not in sweep.whole_space.parameters(without[0])
    assert described(sweep)["graph.k"] == "4 to 12, when graph.kind is pearson"


def test_true_is_not_one(tiny: dict[str, Any]) -> None:
    one = Dimension(type="int", low=1, high=4, when={"flag": True})
    flag = Dimension(type="choice", values=(1, True))
    space = Space({"flag": flag, "rank": one}, base={"flag": 1, "rank": 9})
    assert space.complete({"flag": 1}.__getitem__) == {"flag": 1, "rank": 9}
    assert space.complete({"flag": True, "rank": 2}.__getitem__) == {"flag": True, "rank": 2}


def test_what_is_queued_is_tried_after_the_base_and_the_rest_is_the_bases(
    tiny: dict[str, Any],
) -> None:
    queued = [{"model.width": 64}, {"model.width": 32}]
    sweep = sweep_of(tiny, space=TIED, enqueue=queued)
    base, *others = first_configurations(sweep)
    assert base == sweep.baseline
    assert others == [
        {"model.width": 64, "model.heads": 4},
        {"model.width": 32, "model.heads": 2},
    ]
    again = make_sweep(spelled_out(sweep), where="again")
    assert again.enqueued == sweep.enqueued


def test_a_queued_configuration_may_lie_outside_the_space(tiny: dict[str, Any]) -> None:
    sweep = sweep_of(tiny, enqueue=[{"model.width": 24, "loss.mmd_weight": 0}])
    (queued,) = sweep.enqueued
    assert queued == sweep.baseline | {"model.width": 24, "loss.mmd_weight": 0.0}
    assert first_configurations(sweep)[1] == queued


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {
                "space": {
                    "model.width": {"tie": "model.heads * 2"},
                    "model.heads": {"tie": "model.width"},
                }
            },
            "need each other: model.heads -> model.width -> model.heads",
        ),
        ({"space": {"model.width": {"tie": "model.width * 2"}}}, "model.width -> model.width"),
        (
            {"space": TIED | {"model.width": WIDTH | {"when": {"model.heads": 2}}}},
            "need each other",
        ),
        ({"space": {"model.heads": {"tie": "model.wdith"}}}, "did you mean 'model.width'?"),
        ({"space": {"model.heads": {"tie": "2 * 2"}}}, "tie must name a setting"),
        (
            {"space": {"model.heads": {"tie": "model.width", "low": 1}}},
            "low does not belong to a tie",
        ),
        (
            {"space": {"model.width": WIDTH, "model.heads": {"tie": "model.width / 24"}}},
            "which cannot run: model.heads: expected a whole number",
        ),
        (
            {"space": {"model.width": WIDTH, "model.heads": {"tie": "1 / (model.width - 16)"}}},
            "no value",
        ),
        (
            {"space": {"graph.k": UNDER["graph.k"]}},
            "when names 'graph.kind', which is not in the space",
        ),
        (
            {"space": {**UNDER, "graph.k": UNDER["graph.k"] | {"when": {"graph.kind": "peerson"}}}},
            "asks for graph.kind='peerson', which graph.kind never is",
        ),
        (
            {"space": {**UNDER, "graph.k": UNDER["graph.k"] | {"low": 0}}},
            "space allows graph.k=0, which cannot run",
        ),
        (
            {"enqueue": [{"model.layers": 2}]},
            "enqueue 1 sets model.layers, which is not in the space",
        ),
        (
            {"enqueue": [{}, {"model.wdith": 2}]},
            "enqueue 2: 'model.wdith' is not a setting of a run",
        ),
        ({"enqueue": [{"model.width": -1}]}, "enqueue 1 cannot run: model.width"),
        (
            {"space": UNDER, "enqueue": [{"graph.kind": "none", "graph.k": 5}]},
            "enqueue 1 sets graph.k, which is tried only when graph.kind='pearson'",
        ),
    ],
)
def test_a_space_that_contradicts_itself_is_refused_in_one_line(
    tiny: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match="sweep: ") as caught:
        sweep_of(tiny, **changes)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
