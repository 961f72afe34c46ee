"""A sweep says what it would try and cost, and writes nothing where it will live."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.show.dry_run import ended, pages
from cluster.runs.plan import planned_split, units_of
from cluster.work.cost.limited import Cost, _at, _cost, _Found, measure
from cluster.work.cost.steps import Request, measured
from cluster.work.cost.told import Told
from data_store.store.reader import Store
from scdfm.flow.objective import StepCells
from scdfm.flow.training import Trainer
from scdfm.method import Losses
from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.dry_run import (
    DryRun,
    NothingLeft,
    described,
    dry_run,
    first_configurations,
    outside,
)
from sweeps.ledger import Event, Trial
from sweeps.proposals.cells import check_data
from sweeps.proposals.measured import _split_seconds, extremes, work
from sweeps.results import Chosen, write_choice
from sweeps.schema.rules import FinalConfig
from sweeps.winners.expected import models_to_test, seconds_to_test


def test_the_largest_has_the_most_work_of_all_settings_together(tiny_sweep: SweepConfig) -> None:
    found = extremes(tiny_sweep)
    assert found["base"] == tiny_sweep.baseline
    assert (found["smallest"]["model.width"], found["largest"]["model.width"]) == (8, 16)


def test_a_step_is_measured_with_all_its_batches_and_real_cells_of_its_mmd(
    tiny_sweep: SweepConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[int, tuple[int, ...]]] = []
    step = Trainer.step

    def counted(self: Trainer, *batches: StepCells) -> Losses:
        taken.append((len(batches), batches[0].reference_sizes))
        return step(self, *batches)

    monkeypatch.setattr(Trainer, "step", counted)
    heavy = {"training.accumulate": 3, "loss.mmd_cells": 5}
    assert len(list(measured(Request(run=tiny_sweep.run(heavy, split=0))))) > 2
    assert {*taken} == {(3, (5, 5))}
    assert work(tiny_sweep.run(heavy, split=0)) > 2 * work(tiny_sweep.run({}, split=0))


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


def test_of_a_sweep_that_has_begun_only_what_waits_for_no_draw_is_listed(
    tiny_sweep: SweepConfig,
) -> None:
    base, other = tiny_sweep.baseline, {**tiny_sweep.baseline, "graph.k": 8}
    ended_one = Trial("a", 1, base, baseline=True, state="complete")
    open_one = Trial("b", 2, other, baseline=False)
    assert first_configurations(tiny_sweep, earlier=[ended_one, open_one]) == (other,)
    assert first_configurations(tiny_sweep, earlier=[ended_one]) == ()
    assert first_configurations(tiny_sweep, earlier=[open_one], left=1) == (base,)
    assert first_configurations(tiny_sweep, earlier=[open_one], left=0) == ()
    found = DryRun(
        name="tiny", trials=1, ended=1, again=0, tested=0, retrained=False, splits=2, steps=4,
        space=described(tiny_sweep), outside={}, first=(), at_once=1, cpu=1, gpu=0.0, measured=(),
        hours=1.0, most_hours=1.0, device_hours=1.0, search_hours=1.0,
        search_device_hours=1.0, start_seconds=0.0, limit_hours=None, limit_device_hours=None,
    )  # fmt: skip
    drawn = "next      is drawn by what the trials before it have scored"
    assert drawn in pages(found)
    assert drawn not in pages(replace(found, trials=0))  # further seeds alone are left
    assert len(pages(found)) == len(pages(replace(found, first=(other,))))  # in place of a table
    assert "budget." not in str(pages(found))
    four = replace(found, trials=4, limit_hours=0.5, limit_device_hours=0.25)
    assert (
        pages(four)[-3]
        == "          about 1 of 4 trials: budget.device_hours leaves 0.25 CPU hours"
    )
    assert "about 0 of 4 trials: budget.hours leaves 30 min" in str(
        pages(replace(four, search_hours=8.0))
    )
    many = {"trials": 9999, "limit_device_hours": 99999.0, "search_device_hours": 1e6}
    assert (
        max(len(str(line)) for line in pages(replace(four, **many)) if "leaves" in str(line)) < 81
    )
    assert "(1,200 CPU hours)" in str(pages(replace(found, device_hours=1200.0)))
    seeds_alone = pages(replace(found, trials=0, again=4, used_up="budget.hours"))
    assert seeds_alone[1] == "          budget.hours is used up"
    assert "confirm   4 trainings with further seeds" in seeds_alone
    ending = pages(replace(found, used_up="budget.no_gain"))
    assert str(ending[1]).endswith(
        "budget.no_gain is used up: more follow only if one of these is better"
    )


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
    steps = [Told(9, "step", cells, one, 5) for cells, one in told]
    assert _at(steps, "seconds", cells=16) == pytest.approx(seconds)


def test_a_run_costs_its_steps_and_the_cells_of_its_rounds(tiny_sweep: SweepConfig) -> None:
    run = tiny_sweep.run({}, split=0)  # 4 steps, 3 rounds of 4 units x 8 cells
    cost = Cost(step_seconds=2.0, cell_seconds=0.5)
    assert cost.run_seconds(run, units=100) == 4 * 2.0 + 3 * 4 * 8 * 0.5
    assert cost.run_seconds(run, units=1) == 4 * 2.0 + 3 * 1 * 8 * 0.5


def test_rounds_cost_the_units_that_validate_in_the_run_and_in_its_folds(
    tiny_sweep: SweepConfig,
) -> None:
    run = tiny_sweep.run({}, split=0)
    cost = Cost(step_seconds=2.0, cell_seconds=0.5)
    with Store.open(run.store) as store:
        split = planned_split(run, store)
        units = [one for one in store.units if one.condition in split.validation]
        assert 0 < len(units) < sum(not one.is_control for one in store.units)
        alone = _split_seconds(run, store, cost=cost)
        assert alone == cost.run_seconds(run, units=len(units))
        folds = run.validation.model_copy(update={"folds": 2})
        whole = _split_seconds(run.model_copy(update={"validation": folds}), store, cost=cost)
    assert whole > 3 * cost.step_seconds * run.training.steps


def test_tests_cost_all_cells_of_test_conditions_and_all_steps_of_retraining(
    tiny_sweep: SweepConfig,
) -> None:
    cost = Cost(step_seconds=2.0, cell_seconds=0.5)
    final = tiny_sweep.model_copy(update={"final": FinalConfig()})
    retrained = tiny_sweep.model_copy(update={"final": FinalConfig(retrain=True)})
    steps = {"sampling": {"steps": 6}}  # 2 in validation
    slower = final.model_copy(update={"base": {**tiny_sweep.base, **steps}})
    from_noise = slower.model_copy(update={"base": {**slower.base, "source": "noise"}})
    with Store.open(tiny_sweep.run({}, split=0).store) as store:

        def seconds(sweep: SweepConfig) -> float:
            return seconds_to_test(sweep, store, configuration=sweep.baseline, cost=cost)

        tested = [
            store.units[one]
            for split in range(2)
            for one in units_of(
                planned_split(tiny_sweep.run({}, split=split), store), store, "test"
            )
        ]
        controls = [len(store.controls[unit.context]) for unit in tested]
        assert seconds(tiny_sweep) == 0
        # From control cells, each of which gives one.
        assert seconds(slower) == pytest.approx(sum(controls) * 0.5 * 3)
        both = zip(tested, controls, strict=True)
        most = sum(max(len(unit), control) for unit, control in both)
        assert seconds(from_noise) == pytest.approx(most * 0.5 * 3)
        assert seconds(retrained) - seconds(final) == pytest.approx(2 * 4 * 2.0)


def test_the_winner_and_the_base_are_tested_once(tiny_sweep: SweepConfig) -> None:
    sweep = tiny_sweep.model_copy(update={"final": FinalConfig(), "splits": tiny_sweep.splits[:1]})
    directory = SweepDirectory(sweep.directory)
    directory.path.mkdir(parents=True)
    ledger = directory.ledger
    assert models_to_test(tiny_sweep, ledger, more=True) == 0
    assert models_to_test(sweep, ledger, more=True) == 2
    assert models_to_test(sweep, ledger, more=False) == 0  # nothing has finished
    for key, width, value in (("base", 16, 0.3), ("other", 8, 0.4), ("better", 12, 0.1)):
        tried = {**sweep.baseline, "model.width": width}
        ledger.write(
            {"event": "start", "trial": key, "configuration": tried, "baseline": width == 16}
        )
        ledger.write({"event": "split", "trial": key, "split": 0, "value": value})
        ledger.write({"event": "complete", "trial": key, "seconds": 1.0})
        assert models_to_test(sweep, ledger, more=False) == (2 if key == "better" else 1)
    scores = {"mse": {"value": 1.0}}
    part = {"split": 0, "model": "m", "step": 2, "retrained": False, "scores": scores}
    known = {"winner": {"trial": 3, "splits": [part]}, "base": {"trial": 1, "splits": [part]}}
    directory.final.write_text(json.dumps({**known, "retrain": False, "said": "so"}))
    assert models_to_test(sweep, ledger, more=False) == 0
    assert models_to_test(sweep, ledger, more=True) == 2  # the winner may be another


def test_time_that_libraries_took_to_load_tells_nothing_of_a_step(tiny_sweep: SweepConfig) -> None:
    run = tiny_sweep.run({}, split=0)
    built = Told(9, "built", 0, 0.0, 5)
    for lines, seconds in (([], 0.0), ([built], 60.0)):
        cost = _cost(_Found(lines, "time", "", -9, 0.0), run, seconds=60.0, free=9, limit=9)
        assert (cost.at_least, cost.step_seconds) == (True, seconds)


@pytest.mark.parametrize(
    ("limits", "stopped", "fits"),
    [({"seconds": 0.0}, "time", True), ({"memory": 1_000_000}, "memory", False)],
)
def test_a_measurement_ends_at_its_limits(
    tiny_sweep: SweepConfig, limits: dict[str, Any], stopped: str, fits: bool
) -> None:
    run = tiny_sweep.run({}, split=0)
    long = run.batch.model_copy(update={"cells": 20_000})  # seconds, also where nobody disturbs
    cost = measure(run.model_copy(update={"batch": long}), **limits)
    assert (cost.stopped, cost.estimated, cost.fits) == (stopped, True, fits)


def test_values_of_the_base_that_the_search_cannot_propose_are_told(tiny: dict[str, Any]) -> None:
    base = tiny["base"] | {"graph": {"k": 5}, "model": {"width": 32, "layers": 1}}
    sweep = SweepConfig.model_validate({**tiny, "base": base})
    assert outside(sweep) == {"graph.k": 5, "model.width": 32}
    search = {**tiny["search"], "baseline_first": False}
    assert outside(SweepConfig.model_validate({**tiny, "base": base, "search": search})) == {}


def test_a_sweep_that_has_ended_is_said_to_be_and_measures_nothing(
    tiny_sweep: SweepConfig,
) -> None:
    directory = SweepDirectory(tiny_sweep.directory)
    ledger = directory.ledger
    with directory.held():
        fingerprint = check_data(tiny_sweep)
        directory.lock.take(tiny_sweep, fingerprint=fingerprint, begun=False)
        for width in (16, 8, 12):
            tried = {**tiny_sweep.baseline, "model.width": width}
            start: Event = {"event": "start", "trial": f"w{width}", "configuration": tried}
            ledger.write({**start, "baseline": width == 16})
            ledger.write({"event": "complete", "trial": f"w{width}", "seconds": 1.0})
        write_choice(Chosen(trial=1, choice="trial 1, the base itself, is the best"), directory)
    found = dry_run(tiny_sweep)
    assert isinstance(found, NothingLeft)
    assert (found.trials, found.ended) == (0, 3)
    assert ended(found) == {
        "sweep": "tiny has ended after 3 trials; 0 are left",
        "why": "all 3 trials of the budget ended before; --extend N adds some, --new begins afresh",
        "choice": "trial 1, the base itself, is the best",
    }
    # What is begun there is no plan for another sweep.
    other = tiny_sweep.model_copy(update={"splits": tiny_sweep.splits[:1]})
    with pytest.raises(ValueError, match=r"holds another sweep: .* one beside it with --new"):
        dry_run(other)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("ray_session")
def test_a_dry_run_measures_once_and_leaves_the_sweep_unbegun(
    tiny_sweep: SweepConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    caplog.set_level("INFO", logger="sweeps")
    found = dry_run(tiny_sweep)
    assert isinstance(found, DryRun)
    assert not tiny_sweep.directory.exists()
    assert [one.name for one in found.measured] == ["smallest", "base", "largest"]
    small, base = (one.cost for one in found.measured[:2])
    assert 0 < small.parameters < base.parameters
    assert not base.estimated
    assert base.step_seconds > 0
    assert base.cell_seconds > 0
    assert 0 < found.hours <= found.most_hours
    # Loading libraries takes far longer than these four steps, and is paid once.
    training = 6 * found.measured[1].split_seconds / found.at_once
    assert found.start_seconds > 0.3
    assert found.hours * 3600 == pytest.approx(found.start_seconds + training)
    assert found.outside == {}
    assert "measured before" not in caplog.text
    again = dry_run(tiny_sweep)
    assert isinstance(again, DryRun)
    assert f"measured before, in {tmp_path / 'cache' / 'scdfm' / 'costs.json'}" in caplog.text
    free = [one.cost.available for one in again.measured]
    assert min(free) > 0  # of now
    assert [
        replace(one, cost=one.cost.model_copy(update={"available": before.cost.available}))
        for one, before in zip(again.measured, found.measured, strict=True)
    ] == [*found.measured]  # to the last digit, so from the cache
    kept = tmp_path / "cache" / "scdfm" / "costs.json"
    costs = json.loads(kept.read_text())
    full = {key: {**one, "bytes": 2**60, "available": 2**61} for key, one in costs.items()}
    kept.write_text(json.dumps(full))
    with pytest.raises(ValueError, match=r"needs more than the .* that the machine has free"):
        dry_run(tiny_sweep)
    kept.write_text(json.dumps(costs))
    assert (found.tested, found.search_hours) == (0, found.hours)
    final = dry_run(tiny_sweep.model_copy(update={"final": FinalConfig(retrain=True)}))
    assert isinstance(final, DryRun)
    assert final.search_hours == found.hours
    assert (found.search_device_hours, found.limit_device_hours) == (found.device_hours, None)
    assert [one.split_seconds for one in final.measured] == [
        one.split_seconds for one in found.measured
    ]
    tests = 2 * final.measured[1].test_seconds / 3600  # of the base's size; two cores at once
    assert tests > 0
    starts = found.start_seconds / 3600  # of processes for tests, after those of trials
    assert final.start_seconds == 2 * found.start_seconds
    assert final.hours == pytest.approx(found.hours + starts + tests / 2)
    assert final.device_hours == pytest.approx(found.device_hours + tests)
    told = [line for line in pages(final) if isinstance(line, str)]
    line = "final     2 models retrained and scored on test conditions of 2 splits"
    assert line in told
    assert not any("outside" in line for line in told)
    beside = pages(replace(final, outside={"graph.k": 5}))
    assert any("base      has graph.k 5, outside the space" in str(line) for line in beside)
    limited = pages(replace(final, limit_hours=found.hours / 3))
    assert any("of 3 trials" in line for line in limited if isinstance(line, str))
