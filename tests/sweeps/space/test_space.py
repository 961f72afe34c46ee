from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.schema.dimension import Dimension
from sweeps.schema.space import Space
from sweeps.space import content_hash, distributions, identity, split_run, trial_key, untried


def test_each_kind_of_dimension_becomes_its_distribution() -> None:
    assert distributions(
        {
            "a": Dimension(type="float", low=0.01, high=10, log=True),
            "b": Dimension(type="int", low=5, high=62, step=5),
            "c": Dimension(type="choice", values=(8, "x", None)),
        }
    ) == {
        "a": FloatDistribution(0.01, 10, log=True),
        "b": IntDistribution(5, 60, step=5),
        "c": CategoricalDistribution((8, "x", None)),
    }


def test_a_trial_is_named_by_its_content_alone(tiny: dict[str, Any]) -> None:
    one = SweepConfig.model_validate(tiny)
    other = SweepConfig.model_validate(tiny | {"name": "other", "output": "elsewhere"})
    assert trial_key(one, {"graph.k": 8}) == trial_key(other, {"graph.k": 8})
    assert trial_key(one, {"graph.k": 8}) != trial_key(one, {"graph.k": 12})
    assert trial_key(one, {"graph.k": 4}) == trial_key(one, {})


def test_a_trial_keeps_its_name_when_its_store_moves(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = SweepConfig.model_validate(tiny)
    moved = SweepConfig.model_validate(tiny | {"base": tiny["base"] | {"store": "/data/b.zarr"}})
    other = SweepConfig.model_validate(tiny | {"base": tiny["base"] | {"seed": 7}})
    assert trial_key(one, {"graph.k": 8}) == trial_key(moved, {"graph.k": 8})
    assert trial_key(one, {"graph.k": 8}) != trial_key(other, {"graph.k": 8})
    # The version before hashed the store's spelling, too; the ledger knows its trials.
    start = {"event": "start", "trial": "old", "configuration": {"graph.k": 8}, "baseline": False}
    one.directory.mkdir(parents=True)
    SweepDirectory(one.directory).ledger.write(start)
    assert trial_key(moved, {"graph.k": 8}) == "old"
    assert split_run(moved, {"graph.k": 8}, split=0).output == one.directory / "trials" / "old"
    assert trial_key(moved, {"graph.k": 4}) != "old"


def test_first_weights_that_are_tried_tell_trials_apart(tiny: dict[str, Any]) -> None:
    run = SweepConfig.model_validate(tiny).run({}, split=0)
    one, two = (run.model_copy(update={"init_from": Path(name)}) for name in ("a", "b"))
    assert content_hash(one) == content_hash(two)
    assert content_hash(one, tried=("init_from",)) != content_hash(two, tried=("init_from",))


def test_splits_of_a_trial_share_its_hash_and_differ_in_place(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny)
    first, second = (split_run(sweep, {"graph.k": 8}, split=split) for split in (0, 1))
    assert content_hash(first) == content_hash(second)
    assert first.directory != second.directory
    assert (first.split.kind, second.split.kind) == ("additive", "holdout")


def test_a_space_that_is_used_up_holds_nothing_untried() -> None:
    space = Space({"a": Dimension(type="choice", values=(1, 2))})
    tried = {identity({"a": 1})}
    assert untried(space, tried=tried, seed=0, number=1) == {"a": 2}
    assert untried(space, tried=tried | {identity({"a": 2})}, seed=0, number=2) is None


def test_the_order_of_a_file_does_not_change_the_proposals(tiny: dict[str, Any]) -> None:
    there = SweepConfig.model_validate(tiny).space
    one, other = Space(there), Space(dict(reversed(there.items())))
    assert untried(one, tried=(), seed=3, number=0) == untried(other, tried=(), seed=3, number=0)
