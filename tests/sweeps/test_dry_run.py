"""A sweep says what it would try and cost, and writes nothing where it will live."""

from pathlib import Path
from typing import Any

import pytest

from cluster.work.cost.limited import Cost, _at, _cost, _Found, measure
from sweeps import SweepConfig
from sweeps.dry_run import described, dry_run, extremes, first_configurations


def test_the_largest_has_the_most_work_of_all_settings_together(tiny_sweep: SweepConfig) -> None:
    found = extremes(tiny_sweep)
    assert found["base"] == tiny_sweep.baseline
    assert (found["smallest"]["model.width"], found["largest"]["model.width"]) == (8, 16)


def test_of_settings_that_contradict_each_other_the_heaviest_counts(tiny: dict[str, Any]) -> None:
    space = {
        "model.width": {"type": "choice", "values": [16, 64]},
        "model.heads": {"type": "choice", "values": [1, 2]},
    }
    sweep = SweepConfig.model_validate({**tiny, "space": space})
    assert extremes(sweep)["largest"]["model.width"] == 64


def test_a_list_is_measured_at_its_own_ends(tiny: dict[str, Any]) -> None:
    listed = {"wide": {"model.width": 64}, "narrow": {"model.width": 8}}
    kept = {
        name: value for name, value in tiny.items() if name not in ("space", "search", "budget")
    }
    sweep = SweepConfig.model_validate({**kept, "configurations": listed})
    found = extremes(sweep)
    assert found["smallest"] == {"model.width": 8}
    assert found["largest"] == {"model.width": 64}


def test_a_space_is_told_in_words(tiny_sweep: SweepConfig) -> None:
    assert described(tiny_sweep) == {
        "loss.mmd_weight": "0.01 to 10, on a log scale",
        "graph.k": "4 to 12 in steps of 4",
        "model.width": "8, 16",
    }


def test_the_first_configurations_are_the_base_and_then_seeded_ones(
    tiny_sweep: SweepConfig,
) -> None:
    first = first_configurations(tiny_sweep)
    assert len(first) == tiny_sweep.budget.trials
    assert first[0] == tiny_sweep.baseline
    assert first == first_configurations(tiny_sweep)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ([(8, 1.0), (16, 2.0)], 2.0),  # the whole batch
        ([(2, 1.0), (4, 1.5)], 4.5),  # along the line
        ([(4, 1.0)], 4.0),  # in proportion
        ([(2, 1.0), (4, 0.9)], 0.9),  # never less than what was seen last
    ],
)
def test_what_smaller_batches_took_is_carried_on(
    told: list[tuple[int, float]], seconds: float
) -> None:
    steps = [{"cells": cells, "seconds": one} for cells, one in told]
    assert _at(steps, "seconds", cells=16) == pytest.approx(seconds)


def test_a_run_costs_its_steps_and_the_cells_of_its_rounds(tiny_sweep: SweepConfig) -> None:
    run = tiny_sweep.run({}, split=0)  # 4 steps, 3 rounds of 4 units x 8 cells
    cost = Cost(step_seconds=2.0, cell_seconds=0.5)
    assert cost.run_seconds(run, units=100) == 4 * 2.0 + 3 * 4 * 8 * 0.5
    assert cost.run_seconds(run, units=1) == 4 * 2.0 + 3 * 1 * 8 * 0.5


def test_time_that_libraries_took_to_load_tells_nothing_of_a_step(tiny_sweep: SweepConfig) -> None:
    run = tiny_sweep.run({}, split=0)
    built = {"what": "built", "parameters": 9, "cells": 0, "seconds": 0.0, "bytes": 5}
    for lines, seconds in (([], 0.0), ([built], 60.0)):
        cost = _cost(_Found(lines, "time", "", -9), run, seconds=60.0, free=9, limit=9)
        assert (cost.at_least, cost.step_seconds) == (True, seconds)


@pytest.mark.parametrize(
    ("limits", "stopped", "fits"),
    [({"seconds": 0.0}, "time", True), ({"memory": 1_000_000}, "memory", False)],
)
def test_a_measurement_ends_at_its_limits(
    tiny_sweep: SweepConfig, limits: dict[str, Any], stopped: str, fits: bool
) -> None:
    cost = measure(tiny_sweep.run({}, split=0), **limits)
    assert (cost.stopped, cost.estimated, cost.fits) == (stopped, True, fits)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("ray_session")
def test_a_dry_run_measures_once_and_leaves_the_sweep_unbegun(
    tiny_sweep: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = dry_run(tiny_sweep)
    assert not tiny_sweep.directory.exists()
    assert [one.name for one in found.measured] == ["smallest", "base", "largest"]
    small, base = (one.cost for one in found.measured[:2])
    assert 0 < small.parameters < base.parameters
    assert not base.estimated
    assert base.step_seconds > 0
    assert base.cell_seconds > 0
    assert 0 < found.hours <= found.most_hours
    again = dry_run(tiny_sweep)
    assert again.measured == found.measured  # to the last digit, so from the cache
