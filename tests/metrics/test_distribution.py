"""Facts of distances between generated and real cells."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from scdfm.flow.mmd import mmd2 as loss
from scdfm.metrics import UnitCells
from scdfm.metrics.distribution import (
    energy_distance,
    mmd2,
    variance_error,
    wasserstein1,
    zero_fraction_error,
)

DRAW = np.random.default_rng(0)
REAL = np.maximum(0, DRAW.normal(0.5, 1, (43, 12)))
GENERATED = np.maximum(0, DRAW.normal(0.7, 0.8, (30, 12)))


def unit(generated: np.ndarray = GENERATED, real: np.ndarray = REAL) -> UnitCells:
    return UnitCells("c", "P", real=real, control=real, predicted=generated)


def test_mmd_is_that_of_the_training_loss() -> None:
    expected = loss(torch.tensor(GENERATED), torch.tensor(REAL))
    assert mmd2(unit()) == pytest.approx(float(expected), rel=1e-9)


def test_energy_distance_counts_pairs_of_different_cells() -> None:
    n, m = len(GENERATED), len(REAL)
    within = [cdist(a, a).sum() / (k * (k - 1)) for a, k in ((GENERATED, n), (REAL, m))]
    expected = 2 * cdist(GENERATED, REAL).mean() - sum(within)
    assert energy_distance(unit()) == pytest.approx(expected)


@pytest.mark.parametrize("cells", [30, 43, 7])
def test_wasserstein_is_scipys_averaged_over_genes(cells: int) -> None:
    generated = np.maximum(0, DRAW.normal(0.7, 0.8, (cells, 12)))
    expected = np.mean([wasserstein_distance(generated[:, g], REAL[:, g]) for g in range(12)])
    assert wasserstein1(unit(generated)) == pytest.approx(expected)


def test_spread_and_zeros_follow_their_definitions() -> None:
    spread = np.abs(GENERATED.var(axis=0, ddof=1) - REAL.var(axis=0, ddof=1)).mean()
    zeros = np.abs((GENERATED == 0).mean(axis=0) - (REAL == 0).mean(axis=0)).mean()
    assert variance_error(unit()) == pytest.approx(spread)
    assert zero_fraction_error(unit()) == pytest.approx(zeros)


@pytest.mark.parametrize("metric", [mmd2, energy_distance])
def test_cells_of_one_distribution_are_0_apart_on_average(metric: object) -> None:
    draw = np.random.default_rng(4)
    pairs = [(draw.normal(0, 1, (20, 5)), draw.normal(0, 1, (25, 5))) for _ in range(200)]
    found = np.array([metric(unit(*pair)) for pair in pairs])  # type: ignore[operator]
    assert abs(found.mean()) < 3 * found.std() / np.sqrt(len(found))


def test_sparse_cells_are_measured_as_dense_ones() -> None:
    sparse = UnitCells(
        "c", "P", real=csr_matrix(REAL), control=REAL, predicted=csr_matrix(GENERATED)
    )
    for metric in (mmd2, energy_distance, wasserstein1, variance_error, zero_fraction_error):
        assert metric(sparse) == pytest.approx(metric(unit()))


def test_a_single_cell_has_no_spread_but_a_distance() -> None:
    one = unit(GENERATED[:1])
    assert np.isnan([mmd2(one), energy_distance(one), variance_error(one)]).all()
    assert wasserstein1(one) == pytest.approx(np.abs(GENERATED[0] - REAL).mean())


def test_many_cells_are_thinned_and_the_distance_hardly_changes() -> None:
    draw = np.random.default_rng(5)
    many, fewer = draw.normal(0, 1, (2100, 3)), draw.normal(0.5, 1, (300, 3))
    assert energy_distance(unit(many, fewer)) == pytest.approx(
        energy_distance(unit(many[:2000], fewer)), rel=0.1
    )
    assert energy_distance(unit(many, fewer)) == energy_distance(unit(many, fewer))
