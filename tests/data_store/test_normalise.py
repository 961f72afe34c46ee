"""Values are checked as they will be stored: after what a file holds several times is added up."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp

from data_store.normalise import LARGEST_LOG, as_counts, as_log


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
