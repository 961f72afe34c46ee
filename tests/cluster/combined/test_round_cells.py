"""Metrics of cells in validation rounds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from cluster.runs.plan import Plan, make_plan
from cluster.runs.precision import Arithmetic
from cluster.settings.config import RunConfig
from cluster.work.build import untrained
from cluster.work.controls import StoreControls
from cluster.work.sampler import starting_cells
from cluster.work.validation import Validation, validation_sampler
from data_store.store.reader import Store
from scdfm.metrics import METRICS, UnitCells
from scdfm.metrics.distribution import mmd2
from scdfm.metrics.metric import Metric
from tests.cluster.combined.conftest import combining

HOW = Arithmetic("cpu", "float32", matmul="highest", compiled=False)
CELLS = 8
FLOW: dict[str, Any] = {"base": "shrunken", "flow": 1, "shape": 1}
BASE: dict[str, Any] = {"base": "shrunken", "flow": 0, "shape": 0}


def run_of(store: Path, folder: Path, mean: Any, *, seed: int = 1) -> RunConfig:
    """A run whose untrained network moves cells, since its paths start from noise."""
    sampling = {"steps": 2, "batch": 5, "clamp": False}
    return combining(store, folder, mean=mean, sampling=sampling, source="noise", seed=seed)


def by_hand(network: nn.Module, run: RunConfig, plan: Plan, store: Store, name: str) -> float:
    """A metric of cells over the validation units, from the flow's own cells."""
    sampler = validation_sampler(network, run, plan, how=HOW)
    controls, columns = StoreControls(store, plan.genes.model), plan.genes.model[sampler.genes]
    found: dict[str, list[float]] = {}
    for part in plan.validation:
        unit = store.units[part.unit]
        rows = controls.rows(unit.context)
        start = starting_cells(
            rows, condition=unit.tokens, cells=CELLS, seed=run.seed, context=unit.context
        )
        cells = list(sampler.batches(controls, start, condition=unit.tokens))
        real = store.expression(part.start, min(part.stop, part.start + CELLS), genes=columns)
        of_cells = METRICS[name].of_cells
        assert of_cells is not None
        both = UnitCells(unit.context, unit.condition, real, real, predicted=np.concatenate(cells))
        found.setdefault(unit.condition, []).append(of_cells(both))
    return float(np.mean([np.mean(values) for values in found.values()]))


@pytest.mark.parametrize("name", ["mmd2", "energy_distance"])
def test_a_round_compares_as_many_cells_as_it_generates(
    tiny_store_path: Path, tmp_path: Path, name: str
) -> None:
    run = run_of(tiny_store_path, tmp_path, FLOW)
    with Store.open(run.store) as store:
        plan = make_plan(run, store)
        network = untrained(run, plan)
        scores = Validation(run, plan, store, HOW)(network)
        assert scores[name] == pytest.approx(by_hand(network, run, plan, store, name), rel=1e-4)


def test_cells_have_the_mean_of_base_and_flow_together(
    tiny_store_path: Path, tmp_path: Path
) -> None:
    run = run_of(tiny_store_path, tmp_path, BASE)
    with Store.open(run.store) as store:
        plan = make_plan(run, store)
        made = [Validation(run, plan, store, HOW) for _ in range(2)]
        networks = [untrained(run.model_copy(update={"seed": seed}), plan) for seed in (1, 2)]
        rounds = [one(network) for one, network in zip(made, networks, strict=True)]
    assert rounds[0] == rounds[1]  # moved controls, whatever the network says
    assert np.isfinite(rounds[0]["mmd2"])
    # What the flow makes by itself is kept beside it, for rounds that are equal.
    assert None not in (made[0].shape, made[1].shape)
    assert made[0].shape != made[1].shape


def test_two_metrics_may_share_what_they_measure(
    tiny_store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(METRICS, "_things", dict(METRICS._things))
    METRICS.add("mmd2_of_mine", Metric(of_cells=mmd2, mode="min"))
    run = run_of(tiny_store_path, tmp_path, FLOW)
    with Store.open(run.store) as store:
        plan = make_plan(run, store)
        scores = Validation(run, plan, store, HOW)(untrained(run, plan))
    assert scores["mmd2_of_mine"] == scores["mmd2"]


def test_a_network_that_is_not_finite_has_no_score(tiny_store_path: Path, tmp_path: Path) -> None:
    run = run_of(tiny_store_path, tmp_path, FLOW)
    with Store.open(run.store) as store:
        plan = make_plan(run, store)
        network = untrained(run, plan)
        for weight in network.parameters():
            weight.data.fill_(np.inf)
        scores = Validation(run, plan, store, HOW)(network)
    assert {"mse", "mmd2"} <= scores.keys()
    assert np.isnan([*scores.values()]).all()
