"""Facts that hold in every place where files can be: a folder, memory, S3."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from cluster.storage.objects import Objects, _Plain
from cluster.storage.storage import Storage, StorageError, TakenError, storage_at
from tests.cluster.storage.google import google


@pytest.fixture(params=["folder", "memory", "s3", "gs", "without conditions"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "s3":
        yield storage_at(f"{request.getfixturevalue('bucket')}/runs/a")
        return
    if request.param == "folder":
        yield storage_at(tmp_path / "runs" / "a")
        return
    if request.param == "gs":
        driver = pytest.importorskip("gcsfs", reason="gs:// needs gcsfs, which is not installed")
        driver.GCSFileSystem.clear_instance_cache()
        with google() as server, pytest.MonkeyPatch.context() as environment:
            environment.setenv("STORAGE_EMULATOR_HOST", server)
            yield storage_at("gs://bucket/runs/a")
        driver.GCSFileSystem.clear_instance_cache()
        return
    system = fsspec.filesystem("memory")
    system.store.clear()
    made = storage_at("memory://runs/a")
    if request.param == "without conditions":
        assert isinstance(made, Objects)
        made._client = _Plain(system)
    yield made
    system.store.clear()


def test_what_is_written_is_read(storage: Storage, tmp_path: Path) -> None:
    assert storage.read("x") is None
    assert storage.names() == []
    assert not storage.fetch("x", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    storage.put("a/x", b"one")
    storage.put("a/x", b"two")
    (tmp_path / "file").write_bytes(b"sent")
    storage.send(tmp_path / "file", "b/c/y")
    found = storage.read("a/x")
    assert found is not None
    assert found.content == b"two"
    assert storage.fetch("b/c/y", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"sent"
    assert storage.names() == ["a/x", "b/c/y"]
    assert storage.names("b") == ["b/c/y"]
    storage.remove(["a/x", "gone"])
    assert storage.names() == ["b/c/y"]


def test_of_two_writers_the_second_is_told(storage: Storage) -> None:
    first = storage.put_if("x", b"first", tag=None)
    with pytest.raises(TakenError):
        storage.put_if("x", b"second", tag=None)
    newer = storage.put_if("x", b"first again", tag=first)
    with pytest.raises(TakenError):
        storage.put_if("x", b"second", tag=first)
    found = storage.read("x")
    assert found is not None
    assert found == (b"first again", newer)
    storage.remove(["x"])
    with pytest.raises(TakenError):
        storage.put_if("x", b"second", tag=newer)
    assert storage.read("x") is None


def test_a_write_whose_answer_was_lost_is_the_writer_s_own(storage: Storage) -> None:
    if isinstance(storage, Objects):
        storage.put_if("x", b"mine", tag=None)
        assert storage.put_if("x", b"mine", tag=None) == storage.read("x").tag  # type: ignore[union-attr]


def test_a_connection_that_breaks_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.storage.objects.WAITS", (0.0, 0.0))
    storage = storage_at("memory://runs/b")
    assert isinstance(storage, Objects)
    client, broken = storage._client, iter([True, True])

    class Breaks:
        """Writes, and then the answer is lost on its way, twice."""

        conditional = True
        get = client.get

        def put_if(self, path: str, content: bytes, *, tag: str | None) -> str:
            written = client.put_if(path, content, tag=tag)
            if next(broken, False):
                raise ConnectionResetError
            return written

    storage._client = Breaks()
    tag = storage.put_if("x", b"mine", tag=None)
    assert storage.read("x") == (b"mine", tag)
    storage.remove(["x"])


def test_a_store_that_is_away_is_named_after_a_while(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.storage.objects.WAITS", (0.0,))
    away = storage_at(f"{bucket}/runs")
    assert isinstance(away, Objects)
    closed = {
        "endpoint_url": "http://127.0.0.1:9",
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    away._client._system = away._system = fsspec.filesystem("s3", **closed)  # type: ignore[attr-defined]
    with pytest.raises(
        StorageError, match=rf"^could not write x at {bucket}/runs \(no connection\)"
    ):
        away.put("x", b"")
    with pytest.raises(
        StorageError, match=r"could not read .*\(no connection\); check the address"
    ):
        away.read("x")


def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    with pytest.raises(
        ValueError, match=r"could not write x at s3://nobody/runs \(there is no such"
    ):
        storage_at("s3://nobody/runs").put("x", b"")


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("https://host/runs", "https:// can only be read; name a folder or a bucket"),
        ("nothing://x", "expected an address with s3://, gs:// or another scheme"),
        ("az://bucket/runs", "expected the driver that reads az:// URLs, .* pip install adlfs"),
    ],
)
def test_an_address_that_cannot_be_written_is_one_line(address: str, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        storage_at(address)
