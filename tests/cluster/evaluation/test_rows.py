"""Facts of the rows of a table."""

import numpy as np

from cluster.work.evaluation.rows import shifted

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
