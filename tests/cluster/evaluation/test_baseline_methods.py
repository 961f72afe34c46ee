"""Baselines as methods, and a linear model that knows genes nobody perturbed."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from cluster.runs.plan import make_plan
from cluster.settings.config import RunConfig, make_run
from cluster.train import train_here
from cluster.work.controls import StoreControls
from cluster.work.evaluate import evaluate
from cluster.work.evaluation.part import TestPart
from cluster.work.means import measured_units, unit_means
from cluster.work.model_sampler import sampler_of
from cluster.work.sampler import columns_in, starting_cells
from data_store.store.reader import Store
from scdfm.flow.checkpoint import load_model
from scdfm.metrics.baselines import BASELINES, Baseline, MeasuredUnits, Units
from scdfm.metrics.baselines.linear import linear
from scdfm.screen.conditions import USUAL
from tests.cluster.small import settings

NONE_OF_FLOW = ("model", "source", "batch", "training", "validation", "sampling")


def run_of(store: Path, output: Path, method: str) -> dict[str, object]:
    every = settings(store, output, name=method, method=method, graph="none")
    return {name: value for name, value in every.items() if name not in NONE_OF_FLOW}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["control", "perturbed_mean", "additive", "linear", "shrunken"])
def test_a_baseline_is_trained_and_judged_like_a_model(
    tiny_store_path: Path, tmp_path: Path, method: str
) -> None:
    run = make_run(run_of(tiny_store_path, tmp_path, method), where="test")
    trained = train_here(run)
    assert trained.finished
    assert train_here(run) == trained
    tables = evaluate(trained.directory, metrics=["mse"]).tables
    own, row = next(iter(tables)), method.replace("_", " ")
    assert own == (method if method not in BASELINES else f"{method} (model)")
    if method == "control":
        assert tables[own].model_dump() == tables[row].model_dump()
    else:
        mine = tables[own].overall["mse"].value
        assert mine == pytest.approx(error_of(BASELINES[row], run), rel=1e-4)
        assert mine != tables["control"].overall["mse"].value
        require_moved_controls(trained.directory / "model", tiny_store_path)


def require_moved_controls(path: Path, store_path: Path) -> None:
    """Cells have the baseline's mean, and do not depend on which others are asked for."""
    model = load_model(path)
    genes, condition = np.arange(len(model.card.genes)), USUAL.parse(model.split.test[0])
    sampler = sampler_of(model, genes=genes, seed=3, products=None)
    with Store.open(store_path) as store:
        controls = StoreControls(store, columns_in(store, model.card))
        for context in store.contexts:
            rows = controls.rows(context)
            asked = starting_cells(rows, condition=(), cells=len(rows), seed=3, context=context)
            cells = sampler.cells(controls, asked, condition=condition)
            change = model.field.delta([context], [condition]).delta[0]
            wanted = np.maximum(controls.mean(context) + change, 0)
            np.testing.assert_allclose(cells.mean(axis=0), wanted, atol=1e-4)
            again = sampler_of(model, genes=genes, seed=3, products=None)
            few = again.cells(controls, asked.some(slice(2, 5)), condition=condition)
            np.testing.assert_array_equal(few, cells[2:5])


def error_of(baseline: Baseline, run: RunConfig) -> float:
    """Mean squared error of a baseline that learns from training units without validation."""
    with Store.open(run.store) as store:
        plan = make_plan(run, store)
        genes = plan.genes.model
        part = TestPart(store, plan.split, genes, np.searchsorted(genes, plan.genes.evaluation))
        conditions = tuple(unit.tokens for unit in part.units)
        made = baseline(
            measured_units(store, plan.training, columns=genes),
            Units(part.contexts, conditions, part.control_mean),
        )
        real = unit_means(store, part.cells, columns=part.scored)
        errors = np.square(np.maximum(made.mean[:, part.evaluation], 0) - real).mean(axis=1)
        each = [errors[[one == unit for unit in conditions]].mean() for one in {*conditions}]
        return float(np.mean(each))


def test_steps_of_a_method_that_takes_none_are_refused(tmp_path: Path) -> None:
    values = run_of(tmp_path, tmp_path, "additive") | {"training": {"steps": 7}}
    with pytest.raises((ValueError, ValidationError), match="takes no steps"):
        make_run(values, where="test")


def test_linear_predicts_a_gene_that_nobody_perturbed_from_its_profile() -> None:
    draw = np.random.default_rng(0)
    genes = tuple(f"G{k}" for k in range(40))
    profiles = draw.normal(size=(40, 3))
    weights = draw.normal(size=(3, 3))
    changes = (profiles @ weights @ profiles.T).T  # of each gene's perturbation
    control = np.ones((40, 40))
    training = MeasuredUnits(
        contexts=("c",) * 30,
        conditions=tuple((gene,) for gene in genes[:30]),
        control=control[:30],
        mean=control[:30] + changes[:30],
        genes=genes,
    )
    test = Units(("c",) * 10, tuple((gene,) for gene in genes[30:]), control[30:])
    found = linear(training, test)
    assert not found.incomplete.any()
    error = np.square(found.mean - 1 - changes[30:]).mean()
    assert error < 0.2 * np.square(changes[30:] - changes[:30].mean(axis=0)).mean()


def test_linear_says_the_mean_change_of_what_is_no_gene() -> None:
    draw = np.random.default_rng(1)
    control = np.zeros((6, 5))
    mean = draw.normal(size=(6, 5))
    drugs = tuple((f"drug {k}",) for k in range(6))
    training = MeasuredUnits(("c",) * 6, drugs, control, mean, tuple("ABCDE"))
    found = linear(training, Units(("c",), (("another",),), control[:1]))
    np.testing.assert_allclose(found.mean[0], mean.mean(axis=0))
    assert found.incomplete.all()
