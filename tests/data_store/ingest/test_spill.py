"""A bucket fits in memory with its rows and with the sums of its units."""

import numpy as np

from data_store.ingest.spill import plan


def test_many_small_units_are_spread_so_that_their_sums_fit() -> None:
    buckets = plan(
        np.full(2_001, 3), row_bytes=1_000, unit_bytes=32 * 20_000, bucket_bytes=32_000_000
    )
    units = np.bincount(buckets.first)
    assert units.sum() == 2_001
    assert units.max() * 32 * 20_000 <= 32_000_000
    assert units[:-1].min() == units.max()


def test_a_unit_follows_the_one_before_whatever_their_sizes() -> None:
    sizes = np.array([1, 500, 2, 2, 90, 20, 300, 1])
    buckets = plan(sizes, row_bytes=1, unit_bytes=40, bucket_bytes=100)
    assert (np.diff(buckets.first) >= 0).all()
    assert (
        buckets.first[1:][buckets.parts[1:] > 1] > buckets.first[:-1][buckets.parts[1:] > 1]
    ).all()
    rows = np.bincount(buckets.first, weights=sizes / buckets.parts)
    assert rows.max() <= 100
