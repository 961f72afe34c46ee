"""Values are checked as they will be stored: after what a file holds several times is added up."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp

from data_store.store.normalise import LARGEST_LOG, as_counts, as_log


def one_cell(*values: float, dtype: type) -> sp.csr_matrix:
    """One cell that has all of these values in the same gene."""
    count = len(values)
    return sp.csr_matrix(
        (np.array(values, dtype=dtype), np.ones(count, dtype=np.int32), [0, count]), shape=(1, 3)
    )


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_counts_that_come_twice_are_added_up_before_they_are_narrowed(dtype: type) -> None:
    found = as_counts(one_cell(40_000, 40_000, dtype=dtype), where="cells")
    assert found.toarray().tolist() == [[0, 80_000, 0]]


@pytest.mark.parametrize(
    ("check", "half", "complaint"),
    [(as_counts, 3e9, "counts below 2\\^32"), (as_log, 0.6 * LARGEST_LOG, "log1p per 10k")],
)
def test_values_whose_sum_is_too_large_are_refused(
    check: Callable[..., sp.csr_matrix], half: float, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        check(one_cell(half, half, dtype=np.float64), where="cells")


def test_checking_leaves_the_block_as_it_was() -> None:
    block = one_cell(1, 2, dtype=np.float32)
    as_counts(block, where="cells")
    assert block.data.tolist() == [1, 2]


def cells_of(value: float, *, genes: int = 40) -> sp.csr_matrix:
    """Two cells with this value in every gene."""
    return sp.csr_matrix(np.full((2, genes), value))


def test_fractions_that_add_up_to_more_than_a_cell_of_logs_are_none() -> None:
    with pytest.raises(ValueError, match="adds up to 196551 before the logarithm; name the layer"):
        as_log(cells_of(8.5), where="cells")
    with pytest.raises(ValueError, match=r"whole counts in cells, got fractions such as 8\.5"):
        as_counts(cells_of(8.5), where="cells")


def test_a_fraction_among_counts_is_not_called_a_log() -> None:
    counts = cells_of(1.0)
    counts.data[70] = 2.5
    with pytest.raises(ValueError, match=r"whole counts in cells, got fractions such as 2\.5"):
        as_counts(counts, where="cells")
