"""Facts of predictions that combine flow and base."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cluster.predict.actors import Predictor
from cluster.predict.options import PredictionRequest
from cluster.predict.place import PredictionPlace
from cluster.predict.request import look_up
from cluster.settings.config import read_run
from cluster.work.evaluate import evaluate
from cluster.work.evaluation.kept import kept_beside
from cluster.work.evaluation.record import FLOW
from cluster.work.sampler import starting_cells
from data_store.store.reader import Store
from scdfm.flow.checkpoint import load_model
from tests.cluster.combined.conftest import cells_of, opened

pytestmark = pytest.mark.slow


def test_a_cell_depends_neither_on_how_many_nor_on_which_genes_are_asked_for(
    combined: Path,
) -> None:
    condition = load_model(combined / "model").card.perturbations[:2]
    many = cells_of(combined, condition)
    np.testing.assert_allclose(cells_of(combined, condition, cells=5), many[:5], atol=1e-6)
    np.testing.assert_allclose(
        cells_of(combined, condition, genes=[3, 17]), many[:, [3, 17]], atol=1e-6
    )
    # All are of the canonical cells, to the last bit.
    np.testing.assert_array_equal(cells_of(combined, condition, cells=7), many[:7])
    other = cells_of(combined, condition, seed=9)
    assert not np.array_equal(other, many)


@pytest.mark.parametrize("genes", [23, 24])
def test_a_cell_has_the_same_bytes_beside_few_and_beside_many(combined: Path, genes: int) -> None:
    condition = load_model(combined / "model").card.perturbations[:2]
    with opened(combined, genes=range(genes), seed=9) as (made, controls):
        drawn = torch.Generator().manual_seed(0)
        with torch.no_grad():  # a flow that moves cells far
            for weights in made.field.parameters():
                weights.add_(0.3 * torch.randn(weights.shape, generator=drawn))
        sampler = replace(made, alpha=0.5, beta=1.0)
        where = sorted(controls.store.controls)[0]
        rows = controls.rows(where)
        start = starting_cells(rows, condition=condition, cells=16, seed=9, context=where)
        many = sampler.generated(controls, start, condition=condition).cells
        for few in (1, 2, 3, 5, 9, 13):
            cells = sampler.generated(controls, start.some(slice(few)), condition=condition).cells
            assert cells.tobytes() == many[:few].tobytes()
        last = sampler.generated(controls, start.some(slice(11, 16)), condition=condition).cells
        assert last.tobytes() == many[11:].tobytes()


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.25), (0.4, 0.25), (1.0, 1.0)])
def test_the_written_cells_have_the_mean_of_base_and_flow(
    combined: Path, alpha: float, beta: float
) -> None:
    condition = load_model(combined / "model").card.perturbations[:2]
    with opened(combined) as (made, controls):
        sampler = replace(made, alpha=alpha, beta=beta)
        where = sorted(controls.store.controls)[1]
        start = starting_cells(
            controls.rows(where), condition=condition, cells=20, seed=sampler.seed, context=where
        )
        batches = list(sampler.batches_with_starts(controls, start, condition=condition))
        unit = sampler.calibrated(controls, context=where, condition=condition)
    cells, began = (
        np.concatenate([getattr(one, of) for one in batches]) for of in ("cells", "start")
    )
    raised = replace(sampler.flow, settings=sampler.unclamped)
    base = sampler.base.delta([where], [condition]).delta[0]
    with opened(combined) as (_, controls):
        flow = np.concatenate(list(raised.batches(controls, start, condition=condition))) - began
    np.testing.assert_allclose(unit.change, base + alpha * (flow.mean(0) - base), atol=1e-5)
    wanted = began.mean(0, dtype=np.float64) + unit.change
    np.testing.assert_allclose(cells.mean(0), np.maximum(wanted, 0), atol=1e-5)
    assert cells.min() >= 0


def test_actors_that_share_the_shards_write_what_one_writes(combined: Path, tmp_path: Path) -> None:
    run = read_run(combined / "run.yaml")
    asked = PredictionRequest(
        model=combined, store=run.store, conditions=("G1",), out=tmp_path / "a.zarr", cells=150
    )
    with Store.open(run.store) as store:
        singles = [one for one, tokens in store.conditions.items() if len(tokens) == 1]
        asked = asked.model_copy(update={"conditions": tuple(sorted(singles)[:2])})
        work = look_up(asked, store)
    assert work.shards > 2
    shards = range(work.shards)

    def written(order: range) -> dict[int, np.ndarray]:
        actor = Predictor(work, PredictionPlace(asked.out, overwrite=False), "", gpu=False)
        return {
            shard: np.concatenate([actor.cells(part) for part in work.parts(shard)])
            for shard in order
        }

    one = written(shards)
    two = written(shards[::2]) | written(shards[1::2][::-1])
    for shard in shards:
        np.testing.assert_array_equal(one[shard], two[shard])


def test_the_flow_alone_stands_beside_the_model(combined: Path) -> None:
    result = evaluate(combined, metrics=["mse", "mmd2"], untrained=True)
    assert list(result.tables)[:3] == ["scDFM", FLOW, "untrained"]
    assert result.rows[FLOW].kind == "flow"
    assert result.mean == load_model(combined / "model").card.mean_in_words
    means = kept_beside(combined / "model").means.predicted
    model = load_model(combined / "model")
    assert model.base is not None
    assert model.card.mean is not None
    with Store.open(read_run(combined / "run.yaml").store) as store:
        tokens = {unit.condition: unit.tokens for unit in store.units}
    change = model.base.delta(
        [unit.context for unit in result.units], [tokens[unit.condition] for unit in result.units]
    ).delta
    rows = [model.card.genes.index(gene) for gene in model.card.evaluation_genes]
    base = np.maximum(kept_beside(combined / "model").means.control + change[:, sorted(rows)], 0)
    far = means["scDFM"] - base
    assert np.abs(far).max() > 0
    assert np.abs(far).max() <= np.abs(means[FLOW] - base).max()
