"""Facts of the rows of a table."""

from pathlib import Path

import numpy as np

from cluster.runs.plan import make_plan
from cluster.settings.config import make_run
from cluster.work.evaluation.part import TestPart
from cluster.work.evaluation.rows import Judge, Predicted, shifted
from data_store.ingest.write import IngestOptions, ingest
from data_store.store.reader import Store
from scdfm.metrics.pseudobulk import own_genes
from tests.cluster.small import settings

DRAW = np.random.default_rng(0)


def test_cells_of_a_baseline_have_its_mean_and_genes_without_a_change_keep_theirs() -> None:
    controls = np.maximum(DRAW.normal(0.2, 1, size=(200, 6)), 0).astype(np.float32)
    change = np.array([0.0, 0.3, -0.2, 0.05, -5.0, 0.0])
    mean = np.maximum(controls.mean(axis=0, dtype=np.float64) + change, 0)
    cells = shifted(controls, mean, change=change, clamp=True)
    np.testing.assert_allclose(cells.mean(axis=0, dtype=np.float64), mean, atol=1e-6)
    np.testing.assert_array_equal(cells[:, [0, 5]], controls[:, [0, 5]])
    assert cells.min() == 0
    assert not np.shares_memory(cells, controls)


def test_a_drug_that_is_spelt_like_a_gene_perturbs_no_gene(
    tiny_h5ad: Path, tiny_store_path: Path, tmp_path: Path
) -> None:
    drugs = tmp_path / "drugs.zarr"
    ingest(tiny_h5ad, drugs, options=IngestOptions(context_column="context", perturbation="drug"))
    assert [perturbed_in(store) for store in (tiny_store_path, drugs)] == [True, False]


def perturbed_in(path: Path) -> bool:
    """Whether any gene of the test units of a store counts as perturbed."""
    run = make_run(settings(path, path.parent), where="test")
    with Store.open(path) as store:
        plan = make_plan(run, store)
        genes = plan.genes.model
        part = TestPart(store, plan.split, genes, np.searchsorted(genes, plan.genes.evaluation))
        judge = Judge(part, ["mse"], None)
        found = judge.evidence(lambda number: Predicted(cells=part.real(number)))
    return bool(own_genes(found).any())
