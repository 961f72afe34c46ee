"""Damage is found and named, by reading or by verifying."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from data_store.integrity import verify
from data_store.reader import Store


@pytest.fixture
def copy(tiny_store_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_store_path, tmp_path / "copy"))


def flip(file: Path, *, place: int) -> None:
    raw = bytearray(file.read_bytes())
    raw[place // 8 % len(raw)] ^= 1 << place % 8
    file.write_bytes(raw)


def test_a_fresh_store_has_no_fault(tiny_store_path: Path) -> None:
    assert verify(tiny_store_path) == []


@pytest.mark.parametrize("seed", range(25))
def test_any_flipped_bit_is_found(copy: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    files = sorted(file for file in copy.rglob("*") if file.is_file())
    file = files[draw.integers(len(files))]
    flip(file, place=int(draw.integers(file.stat().st_size * 8)))
    if file.name == "manifest.json":
        with pytest.raises(ValueError, match="manifest"):
            verify(copy)
        return
    assert [fault.path for fault in verify(copy)] == [file.relative_to(copy).as_posix()]


@pytest.mark.parametrize("part", ["data", "indices", "indptr"])
def test_reading_a_flipped_bit_names_store_and_shard(copy: Path, part: str) -> None:
    flip(copy / f"cells.zarr/X/{part}/c/0", place=2_000)
    with pytest.raises(ValueError, match=f"cells.zarr/X/{part}/c/0 of the store {copy}"):
        Store.open(copy).expression(0, 600)


def test_a_truncated_shard_is_named_when_the_store_opens(copy: Path) -> None:
    file = copy / "cells.zarr/X/data/c/0"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ValueError, match=r"cells.zarr/X/data/c/0"):
        Store.open(copy)


def test_a_shard_that_goes_missing_is_named(copy: Path) -> None:
    store = Store.open(copy)
    (copy / "cells.zarr/X/data/c/0").unlink()
    with pytest.raises(ValueError, match=r"cells.zarr/X/data/c/0 in the store .*, it is gone"):
        store.expression(0, 10)
    with pytest.raises(ValueError, match=r"cells.zarr/X/data/c/0"):
        Store.open(copy)
    assert [fault.problem for fault in verify(copy)] == ["missing"]


def test_a_file_that_ingest_did_not_write_is_named(copy: Path) -> None:
    (copy / "notes.txt").write_text("mine")
    assert [fault.path for fault in verify(copy)] == ["notes.txt"]


def test_a_changed_manifest_is_refused(copy: Path) -> None:
    path = copy / "manifest.json"
    path.write_text(path.read_text().replace('"cells": 600', '"cells": 601', 1))
    with pytest.raises(ValueError, match="changed or damaged"):
        Store.open(copy)
