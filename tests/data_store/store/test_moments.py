"""Sums of units are read some units at a time, and add up as if all were read at once."""

import tracemalloc
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from data_store.store import moments
from data_store.store.moments import SUMS, Moments, MomentsWriter, UnitSums

UNITS, GENES = 500, 400


@pytest.fixture
def sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.float64]:
    """What was written into the folder, (sums, units, genes); 10 units to a chunk."""
    monkeypatch.setattr(moments, "_CHUNK_BYTES", 10 * 4 * GENES)
    values = np.random.default_rng(0).lognormal(size=(len(SUMS), UNITS, GENES))
    writer = MomentsWriter(tmp_path, units=UNITS, genes=GENES)
    for unit in range(UNITS):
        added = UnitSums(GENES)
        added.cells, added.sums, added.nonzero = unit, values[:, unit], np.full(GENES, unit)
        writer.add(unit, added)
    writer.close()
    return values.astype(np.float32).astype(np.float64)


def test_a_sum_is_bit_by_bit_that_of_all_units_at_once(
    sums: NDArray[np.float64], tmp_path: Path
) -> None:
    stored = Moments(zarr.open_group(tmp_path, mode="r"), readable=nullcontext)
    for units in (range(UNITS), [0, 3, 79, 80, 81, 499], [499, 3, 200], [7], []):
        for name, values in zip(SUMS, sums, strict=True):
            np.testing.assert_array_equal(
                stored.sum_of(name, units), values[list(units)].sum(axis=0)
            )
        np.testing.assert_array_equal(stored.nonzero_of(units), np.full(GENES, sum(units)))
    for unit in (0, 9, 10, 499):
        np.testing.assert_array_equal(stored.row("linear_total", unit), sums[1, unit])
        assert set(stored.nonzero(unit)) == {unit}
    assert stored.cells.tolist() == list(range(UNITS))


def test_a_sum_needs_no_memory_for_all_units(sums: NDArray[np.float64], tmp_path: Path) -> None:
    stored = Moments(zarr.open_group(tmp_path, mode="r"), readable=nullcontext)
    stored.sum_of("total", [0])  # what zarr loads once
    tracemalloc.start()
    try:
        for name in SUMS:
            stored.sum_of(name, range(UNITS))
        for unit in range(UNITS):
            stored.row("total", unit)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < sums[0].nbytes / 2
