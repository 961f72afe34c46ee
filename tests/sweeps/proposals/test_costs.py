"""Costs are kept for this machine's user, by what decides them and by what a cost says."""

from pathlib import Path

import pytest

from cluster.settings.config import make_run
from cluster.work.cost.limited import Cost
from sweeps.proposals.costs import cost_key, keep_costs, kept_costs
from tests.cluster.small import settings


def test_what_others_have_kept_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("one", "other"):
        keep_costs({name: Cost(parameters=1)})
    keep_costs({"cut": Cost(stopped="time")})
    assert kept_costs().keys() == {"one", "other"}


def test_the_free_memory_of_another_day_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    keep_costs({"one": Cost(bytes=5, available=9)})
    assert kept_costs() == {"one": Cost(bytes=5)}


def test_a_cost_that_says_more_than_the_kept_ones_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Newer(Cost, frozen=True):
        end_seconds: float = 0.0

    run = make_run(settings(tmp_path / "store", tmp_path), where="test")

    def key() -> str:
        return cost_key(run, sizes=("f" * 64, 24), gpu=False, cpu=1, nodes=["one"])

    kept = key()
    assert key() == kept
    monkeypatch.setattr("sweeps.proposals.costs.Cost", Newer)
    assert key() != kept
