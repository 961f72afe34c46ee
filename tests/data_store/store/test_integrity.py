"""Damage is found and named, by reading or by verifying."""

import logging
import shutil
from pathlib import Path

import anndata
import numpy as np
import pytest

from data_store.ingest.write import IngestOptions, ingest
from data_store.store.integrity import verify
from data_store.store.reader import Store


@pytest.fixture
def copy(tiny_store_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_store_path, tmp_path / "copy"))


def flip(file: Path, *, place: int) -> None:
    raw = bytearray(file.read_bytes())
    raw[place // 8 % len(raw)] ^= 1 << place % 8
    file.write_bytes(raw)


def test_a_fresh_store_has_no_fault(tiny_store_path: Path) -> None:
    assert verify(tiny_store_path) == []


def test_any_of_fifty_flipped_bits_is_found(copy: Path) -> None:
    draw = np.random.default_rng(0)
    files = sorted(file for file in copy.rglob("*") if file.is_file())
    for number in range(50):
        # Every file has its turn, then files come by chance.
        file = files[number] if number < len(files) else files[draw.integers(len(files))]
        place = int(draw.integers(file.stat().st_size * 8))
        flip(file, place=place)
        if file.name == "manifest.json":
            with pytest.raises(ValueError, match="manifest"):
                verify(copy)
        else:
            assert [fault.path for fault in verify(copy)] == [file.relative_to(copy).as_posix()]
        flip(file, place=place)
    assert verify(copy) == []


def test_any_of_fifty_flipped_bits_in_x_is_found_by_reading(copy: Path) -> None:
    draw = np.random.default_rng(1)
    files = [copy / f"cells.zarr/X/{part}/c/0" for part in ("data", "indices", "indptr")]
    for _ in range(50):
        file = files[draw.integers(3)]
        place = int(draw.integers(file.stat().st_size * 8))
        flip(file, place=place)
        with (
            Store.open(copy) as store,
            pytest.raises(ValueError, match=f"{file.parent.parent.name}/c/0"),
        ):
            store.expression(0, 600)
        flip(file, place=place)


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
    with pytest.raises(
        ValueError, match=r"cells.zarr/X/data/c/0 in the store .*, got no such file"
    ):
        store.expression(0, 10)
    with pytest.raises(ValueError, match=r"cells.zarr/X/data/c/0"):
        Store.open(copy)
    assert [fault.problem for fault in verify(copy)] == ["missing"]


def test_a_store_of_a_newer_schema_is_named_by_what_reads_it(copy: Path) -> None:
    path = copy / "manifest.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2', 1))
    for read in (Store.open, verify):
        with pytest.raises(ValueError, match=r"manifest.json, got 2; upgrade scdfm"):
            read(copy)


def test_a_file_that_ingest_did_not_write_is_named(copy: Path) -> None:
    (copy / "notes.txt").write_text("mine")
    assert [fault.path for fault in verify(copy)] == ["notes.txt"]


def test_a_changed_manifest_is_refused(copy: Path) -> None:
    path = copy / "manifest.json"
    path.write_text(path.read_text().replace('"cells": 600', '"cells": 601', 1))
    with pytest.raises(ValueError, match="changed or damaged"):
        Store.open(copy)


SMALL = (
    "conditions.parquet",
    "cells.zarr/var/_index/c/0",
    "cells.zarr/var/zarr.json",
    "cells.zarr/obs/condition/categories/c/0",
    "cells.zarr/obs/condition/zarr.json",
    "moments.zarr/total/zarr.json",
)


@pytest.mark.parametrize("name", SMALL)
def test_any_flipped_bit_in_a_small_file_is_found_by_reading(copy: Path, name: str) -> None:
    draw = np.random.default_rng(2)
    for place in draw.integers((copy / name).stat().st_size * 8, size=20):
        flip(copy / name, place=int(place))
        with pytest.raises(ValueError, match=f"{name} of the store"), Store.open(copy) as store:
            store.obs(0, 10)
        flip(copy / name, place=int(place))
    with Store.open(copy) as store:
        assert len(store.obs(0, 10)) == 10


@pytest.mark.parametrize("part", ["total", "nonzero", "cells"])
def test_damaged_moments_are_named_by_their_file_with_what_to_do(copy: Path, part: str) -> None:
    chunks = (copy / "moments.zarr" / part / "c").rglob("*")
    file = next(one for one in chunks if one.is_file())
    name = file.relative_to(copy).as_posix()
    flip(file, place=1_000)
    with Store.open(copy) as store, pytest.raises(ValueError, match="expected the file") as told:
        _ = store.moments.nonzero(0), store.moments.row("total", 0), store.moments.cells
    assert str(told.value) == (
        f"expected the file that ingest wrote in {name} of the store {copy}, got a damaged one "
        f"(its bytes have changed since ingest); see all faults with `scdfm verify {copy}`, then "
        "restore the file or ingest again"
    )


def test_what_is_said_of_an_older_version_names_it(
    copy: Path, tiny_adata: anndata.AnnData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    more = tiny_adata[:50].copy()
    more.obs_names = [f"more{name}" for name in more.obs_names]
    more.write_h5ad(tmp_path / "more.h5ad")
    ingest(tmp_path / "more.h5ad", copy, options=IngestOptions(append=True))
    caplog.set_level(logging.INFO)
    assert verify(copy) == []
    (older,) = (copy / "versions").iterdir()
    named = [line.startswith(f"versions/{older.name}: ") for line in caplog.messages]
    assert named == [False, False, True, True]
