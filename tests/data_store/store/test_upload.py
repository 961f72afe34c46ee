"""A store that is written to a URL is whole, or is not there."""

import errno
import logging
from pathlib import Path
from typing import Any

import fsspec
import pytest

from data_store.ingest.assemble import _lengths
from data_store.ingest.write import IngestOptions, ingest
from data_store.publish.leftovers import scratch
from data_store.publish.upload import new_store, upload
from data_store.store.integrity import verify
from data_store.store.reader import Store
from data_store.store.schema import read_manifest
from tests.data_store.store.test_remote import assert_the_same


def test_an_ingest_to_a_url_ends_with_the_manifest(
    memory: fsspec.AbstractFileSystem,
    tiny_h5ad: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options, url = IngestOptions(context_column="context"), "memory://bucket/store"
    sent: list[str] = []
    put = type(memory).put_file

    def noted(self: Any, local: str, far: str, *rest: Any, **more: Any) -> None:
        sent.append(far)
        put(self, local, far, *rest, **more)

    monkeypatch.setattr(type(memory), "put_file", noted)
    manifest = ingest(tiny_h5ad, url, options=options)
    assert sent[-1].endswith("manifest.json")
    assert len(sent) == len(manifest.shards) + 1
    caplog.set_level(logging.INFO)
    assert ingest(tiny_h5ad, url, options=options) == manifest
    assert "already holds" in caplog.messages[-1]
    with Store.open(url) as store:
        assert store.expression(0, 5).shape == (5, 60)
    with pytest.raises(FileExistsError, match="--overwrite"):
        ingest(tiny_h5ad, url, options=options.model_copy(update={"seed": 1}))
    other = options.model_copy(update={"seed": 1, "overwrite": True})
    assert ingest(tiny_h5ad, url, options=other).fingerprint != manifest.fingerprint
    assert verify(url) == []


def test_an_upload_that_breaks_leaves_no_store(
    memory: fsspec.AbstractFileSystem, tiny_store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "memory://bucket/store"
    upload(tiny_store_path, url)

    def broken(self: Any, local: str, far: str, *rest: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "a text of the driver")

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "put_file", broken)
        with pytest.raises(ValueError, match=r"could not write .*\(No space left on device\)"):
            upload(tiny_store_path, url, overwrite=True)
    with pytest.raises(ValueError, match="found none"):
        Store.open(url)
    upload(tiny_store_path, url)
    assert_the_same(url, tiny_store_path)


def test_what_is_not_a_store_is_never_replaced(
    memory: fsspec.AbstractFileSystem, tiny_store_path: Path
) -> None:
    memory.pipe("/bucket/thesis.txt", b"precious")
    with pytest.raises(FileExistsError, match="holds files already"):
        upload(tiny_store_path, "memory://bucket", overwrite=True)
    assert memory.cat("/bucket/thesis.txt") == b"precious"


def test_https_can_only_be_read(tiny_h5ad: Path) -> None:
    with pytest.raises(ValueError, match="can only be read"):
        ingest(tiny_h5ad, "https://example.org/store")


def test_chunks_for_a_network_hold_more_rows(tiny_h5ad: Path, tmp_path: Path) -> None:
    near, shard = _lengths(400_000_000, cells=1_000_000, remote=False)
    far, far_shard = _lengths(400_000_000, cells=1_000_000, remote=True)
    assert (near, far) == (12_288, 102_400)
    assert shard == pytest.approx(8_192 * 400, rel=0.01)
    assert far_shard == pytest.approx(32_768 * 400, rel=0.01)
    options = IngestOptions(context_column="context", remote=True)
    ingest(tiny_h5ad, tmp_path / "store", options=options)
    assert read_manifest(tmp_path / "store").cells == 600


def test_what_a_killed_ingest_left_goes_with_the_next(
    memory: fsspec.AbstractFileSystem,
    tiny_h5ad: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "scdfm-killed.store" / "cells.zarr").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    with scratch() as at_work:
        ingest(tiny_h5ad, "memory://bucket/a", options=IngestOptions(context_column="context"))
        assert {path.name for path in tmp_path.iterdir()} == {"mine", at_work.name}
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_full_disk_on_the_way_to_a_url_is_named(
    memory: fsspec.AbstractFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with (
        pytest.raises(
            OSError, match=f"expected room for {tmp_path}/scdfm-.*set TMPDIR to a folder"
        ),
        new_store("memory://bucket/a", overwrite=False),
    ):
        raise RuntimeError("an error writing a chunk: File too large (os error 27)")
    assert list(tmp_path.iterdir()) == []
