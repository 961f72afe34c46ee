"""Facts of the rank test."""

import numpy as np
import pytest
from scipy.sparse import csc_array, csr_array, csr_matrix
from scipy.stats import false_discovery_control, mannwhitneyu

from scdfm.metrics.de.mann_whitney import RankedControls, sort_values
from scdfm.metrics.de.table import Reference, differential
from tests.metrics.screens import screen


@pytest.mark.parametrize("levels", [None, 4], ids=["few ties", "many ties"])
@pytest.mark.parametrize("shift", [0.0, -1.0], ids=["from zero", "below zero"])
def test_every_gene_is_tested_as_scipy_does(levels: int | None, shift: float) -> None:
    some = screen(levels=levels)
    cells, controls = some.real["P3"] + np.float32(shift), some.control + np.float32(shift)
    cells[:, 0], controls[:, 0] = 0, 0  # a gene that nobody has
    cells[:, 1], controls[:, 1] = 0, 1  # seen on one side only
    controls[:, 2] = 0
    ranks = RankedControls.of(controls).test(sort_values(cells))
    expected = mannwhitneyu(
        cells.astype(float), controls.astype(float), method="asymptotic", axis=0
    )
    np.testing.assert_array_equal(ranks.u, expected.statistic)
    np.testing.assert_allclose(ranks.p_value, expected.pvalue, rtol=1e-12)
    assert ranks.p_value[0] == 1


@pytest.mark.parametrize("form", [csr_matrix, csr_array, csc_array])
def test_sparse_cells_are_compared_as_dense_ones(form: type) -> None:
    some = screen()
    dense = differential(some.real["G1"], Reference.of(some.control))
    stored = form(some.real["G1"])
    stored.data[:3] = 0  # zeros may be stored
    again = differential(stored, Reference.of(form(some.control)))
    plain = differential(stored.toarray(), Reference.of(some.control))
    for name in ("p_value", "fdr", "lfc", "lfc_arithmetic"):
        np.testing.assert_allclose(getattr(again, name), getattr(plain, name), rtol=1e-5)
    np.testing.assert_allclose(again.variance, plain.variance, rtol=1e-5)
    assert (dense.p_value != plain.p_value).any()


def test_fold_changes_follow_their_definitions() -> None:
    some = screen()
    cells, controls = some.real["P4"].astype(float), some.control.astype(float)
    cells[:, 0] = 0
    cells[:, 1], controls[:, 1] = 0, 0
    found = differential(cells, Reference.of(controls))
    with np.errstate(divide="ignore", invalid="ignore"):
        geometric = np.log2(np.expm1(cells.mean(0)) / np.expm1(controls.mean(0)))
        arithmetic = np.log2((np.expm1(cells).mean(0) + 1e-9) / (np.expm1(controls).mean(0) + 1e-9))
    assert found.lfc[0] == -np.inf
    assert found.lfc[1] == 0
    np.testing.assert_allclose(found.lfc[2:], geometric[2:], rtol=1e-6)
    np.testing.assert_allclose(found.lfc_arithmetic, arithmetic, rtol=1e-6)
    np.testing.assert_allclose(found.fdr, false_discovery_control(found.p_value), rtol=1e-6)
