"""Facts of the discrepancy between two groups of cells."""

import pytest
import torch

from scdfm.flow.mmd import BANDWIDTHS, mmd2


def by_the_book(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Algorithm 1, term by term."""

    def kernel(a: torch.Tensor, b: torch.Tensor, sigma2: torch.Tensor) -> torch.Tensor:
        return torch.exp(-torch.cdist(a, b).square() / (2 * sigma2))

    distances = torch.cdist(y, y).square()
    median = distances[~torch.eye(len(y), dtype=torch.bool)].median()
    values = []
    for width in BANDWIDTHS:
        xx, yy = kernel(x, x, width * median), kernel(y, y, width * median)
        n, m = len(x), len(y)
        within = (xx.sum() - n) / (n * (n - 1)) + (yy.sum() - m) / (m * (m - 1))
        values.append(within - 2 * kernel(x, y, width * median).mean())
    return torch.stack(values).mean()


def test_it_is_algorithm_1() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(7, 5, dtype=torch.float64), torch.randn(9, 5, dtype=torch.float64) + 0.3
    torch.testing.assert_close(mmd2(x, y), by_the_book(x, y))


def test_units_are_compared_each_with_its_own() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 3, 6, 4, dtype=torch.float64)
    apart = torch.stack([mmd2(a, b) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(mmd2(x, y), apart)


def test_two_samples_of_one_distribution_are_zero_apart_on_average() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(400, 2, 12, 6, generator=generator)
    values = mmd2(draws[:, 0], draws[:, 1])
    assert values.min() < 0
    assert abs(values.mean()) < 3 * values.std() / 20


def test_distant_samples_are_far_apart() -> None:
    torch.manual_seed(0)
    assert mmd2(torch.randn(10, 3), torch.randn(10, 3) + 5) > 0.5


def test_bandwidths_carry_no_gradient_and_distances_do() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(6, 3, requires_grad=True), torch.randn(6, 3)
    mmd2(x, y).backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


def test_half_precision_is_widened() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 6, 3).bfloat16()
    assert mmd2(x, y).dtype == torch.float32


def test_identical_real_cells_have_a_finite_discrepancy() -> None:
    assert torch.isfinite(mmd2(torch.rand(4, 3), torch.ones(4, 3)))


def test_a_single_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 cells on each side, got 1 generated and 4"):
        mmd2(torch.zeros(1, 3), torch.zeros(4, 3))
