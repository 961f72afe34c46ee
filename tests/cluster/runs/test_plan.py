"""Facts of a plan: what touches which cells."""

from pathlib import Path

import numpy as np
import pytest

from cluster.runs.plan import Plan, known_units, make_plan, units_of
from cluster.settings.config import RunConfig, make_run
from cluster.work.sampler import starting_cells
from data_store.store.reader import Store
from tests.cluster.small import settings


def test_every_unit_is_in_one_part_and_controls_in_none(run: RunConfig) -> None:
    with Store.open(run.store) as store:
        split = make_plan(run, store).split
        parts = [units_of(split, store, part) for part in ("train", "validation", "test")]  # type: ignore[arg-type]
        placed = sorted(position for part in parts for position in part)
        assert placed == [k for k, unit in enumerate(store.units) if not unit.is_control]
        assert all(parts)


def test_choices_look_at_no_test_cell(run: RunConfig) -> None:
    with Store.open(run.store) as store:
        plan = make_plan(run, store)
        test = set(units_of(plan.split, store, "test"))
        assert test.isdisjoint(known_units(plan.split, store))
        assert test.isdisjoint(cells.unit for cells in (*plan.training, *plan.validation))


def test_a_held_out_context_keeps_its_controls_to_itself(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    values = settings(tiny_store_path, tmp_path, split={"kind": "context", "fold": 0})
    run = make_run(values, where="test")
    with Store.open(run.store) as store:
        plan = make_plan(run, store)
        contexts = {store.units[k].context for k in known_units(plan.split, store)}
        assert plan.split.context not in contexts
        tested = {store.units[k].context for k in units_of(plan.split, store, "test")}
        assert tested == {plan.split.context}


def test_cells_that_validate_are_not_trained_on(tiny_store_path: Path, tmp_path: Path) -> None:
    values = settings(tiny_store_path, tmp_path, split={"kind": "additive", "fraction": 0.99})
    with Store.open(tiny_store_path) as store:
        plan = make_plan(make_run(values, where="test"), store)
        assert plan.split.validation_kind == "cells"
        trained = {cells.unit: cells for cells in plan.training}
        for cells in plan.validation:
            assert trained[cells.unit].stop == cells.start
            assert cells.stop == store.units[cells.unit].stop


def test_the_same_run_makes_the_same_plan(run: RunConfig, tmp_path: Path) -> None:
    with Store.open(run.store) as store:
        first, second = make_plan(run, store), make_plan(run, store)
        first.save(tmp_path / "plan")
        loaded = Plan.load(tmp_path / "plan", run=run, store=store)
    for other in (second, loaded):
        assert other.split == first.split
        assert np.array_equal(other.genes.model, first.genes.model)
        assert np.array_equal(other.graph.indices, first.graph.indices)
        assert other.training == first.training
        assert other.vocabulary == first.vocabulary


def test_validation_scores_at_most_the_units_asked_for(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    values = settings(
        tiny_store_path,
        tmp_path,
        split={"kind": "additive", "fraction": 0.99},
        validation={"units": 2, "cells": 4},
    )
    with Store.open(tiny_store_path) as store:
        assert len(make_plan(make_run(values, where="test"), store).validation) == 2


def test_perturbed_genes_stay_in_the_model(run: RunConfig) -> None:
    with Store.open(run.store) as store:
        plan = make_plan(run, store)
        tokens = {token for tokens in store.conditions.values() for token in tokens}
        assert tokens <= set(plan.vocabulary.genes)


def test_a_split_without_test_conditions_says_what_would_work(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    values = settings(tiny_store_path, tmp_path, split={"kind": "additive", "fraction": 0.01})
    with Store.open(tiny_store_path) as store, pytest.raises(ValueError, match="use kind"):
        make_plan(make_run(values, where="test"), store)


def test_a_prediction_starts_beside_the_cell_it_is_conditioned_on(run: RunConfig) -> None:
    with Store.open(run.store) as store:
        [context, *_] = store.controls
        control = store.controls[context]
        rows = np.arange(control.start, control.stop)
        start = starting_cells(rows, condition=("A",), cells=2 * len(control), seed=0)
    assert np.all(start.rows != start.others)
    assert len(set(zip(start.rows.tolist(), start.others.tolist(), strict=True))) == len(start.rows)
    assert sorted(start.rows[: len(control)]) == list(range(control.start, control.stop))
    assert start.replicates.tolist() == [0] * len(control) + [1] * len(control)
