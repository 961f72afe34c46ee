"""Facts about cells that move to a wanted mean."""

import numpy as np
import pytest

from scdfm.metrics.shrunken import moved, shift_to
from tests.scdfm.baselines.test_shrunken import oracle

CELLS = np.random.default_rng(0).normal(size=(50, 300))
WANTED = np.random.default_rng(1).uniform(0, 2, size=300)


def test_the_mean_after_clamping_is_the_wanted_one() -> None:
    shift = shift_to(CELLS, WANTED)
    np.testing.assert_allclose(np.maximum(CELLS + shift, 0).mean(axis=0), WANTED, atol=1e-12)


@pytest.mark.parametrize("wanted", [0.0, -1.0], ids=["nothing", "below-nothing"])
def test_where_nothing_is_wanted_all_cells_are_at_nothing(wanted: float) -> None:
    cells = moved(CELLS.astype(np.float32), np.full(300, wanted), clamp=True)
    assert np.abs(cells).max() < 1e-6


def test_cells_that_are_equal_move_together() -> None:
    np.testing.assert_allclose(shift_to(np.full((4, 1), 3.0), np.array([1.0])), [-2.0])


def test_without_clamping_cells_keep_their_spread() -> None:
    cells = moved(CELLS, WANTED - 3, clamp=False)
    np.testing.assert_allclose(cells.mean(axis=0), WANTED - 3, atol=1e-6)
    np.testing.assert_allclose(cells.std(axis=0), CELLS.std(axis=0), rtol=1e-5)


def test_a_change_of_one_cell_or_gene_says_what_is_expected() -> None:
    with pytest.raises(ValueError, match="at least one cell"):
        shift_to(np.empty((0, 3)), np.zeros(3))
    with pytest.raises(ValueError, match="means of shape"):
        shift_to(CELLS, np.zeros(3))


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.0), (0.4, 0.25), (1.0, 1.0)])
def test_cells_are_those_of_the_oracle(alpha: float, beta: float) -> None:
    draw = np.random.default_rng(2)
    start, end = draw.normal(1, 1, size=(2, 40, 9))
    base, control = draw.normal(size=(2, 9))
    expected = oracle().finish(end, start, base, control, alpha, beta)
    flow = (end - start).mean(axis=0)
    shaped = start + (1 - beta) * base + beta * (end - start)
    wanted = np.maximum(control + base + alpha * (flow - base), 0)
    np.testing.assert_allclose(moved(shaped, wanted, clamp=True), expected, atol=1e-5)
