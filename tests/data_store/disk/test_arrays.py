"""What a store writes bit by bit is written whole, or refused: nothing unwritten can be read."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from data_store.disk.arrays import Appender, create
from data_store.disk.columns import Column, FrameWriter
from data_store.store.moments import MomentsWriter, UnitSums


@pytest.fixture
def group() -> zarr.Group:
    return zarr.open_group(zarr.storage.MemoryStore(), mode="w", zarr_format=3)


@pytest.mark.parametrize("kind", ["u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("written", [0, 7, 31])
def test_an_array_that_is_not_full_cannot_be_closed(
    group: zarr.Group, kind: str, written: int
) -> None:
    array = create(group, "data", shape=(32,), dtype=kind, chunks=(4,), shards=(8,))
    appender = Appender(array)
    appender.append(np.ones(written, dtype=kind))
    with pytest.raises(RuntimeError, match=f"expected 32 values or rows in data, got {written}"):
        appender.close()


def test_a_column_that_is_not_full_cannot_be_closed(group: zarr.Group) -> None:
    column = Column("score", "array", "0.2.0", {"": np.dtype("f8")})
    writer = FrameWriter(group, "obs", columns=[column], rows=3)
    writer.append({"_index": np.array([b"a", b"b"]), "score": np.zeros(2)})
    with pytest.raises(RuntimeError, match="expected 3 values"):
        writer.close()


def test_sums_without_those_of_the_last_unit_cannot_be_closed(tmp_path: Path) -> None:
    writer = MomentsWriter(tmp_path / "moments.zarr", units=3, genes=2)
    for unit in range(2):
        writer.add(unit, UnitSums(2))
    with pytest.raises(RuntimeError, match="expected 3 values or rows in cells, got 2"):
        writer.close()


@pytest.mark.parametrize("kind", ["u2", "i4", "f4", "f8"])
def test_chunks_of_nothing_but_zeros_are_written(group: zarr.Group, kind: str) -> None:
    # zarrs leaves out chunks that hold the fill value alone; zeros are real for all but counts.
    array = create(group, "data", shape=(32,), dtype=kind, chunks=(4,), shards=(8,))
    appender = Appender(array)
    appender.append(np.zeros(32, dtype=kind))
    appender.close()
    assert array[:].tolist() == [0] * 32
    assert array.nchunks_initialized == (0 if kind == "u2" else 8)
