"""Addresses: downloaded once, checked against their hash, never half trusted."""

import errno
import hashlib
import io
import json
import logging
import socket
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
from fsspec.registry import _registry

from data_store.ingest.write import IngestOptions, ingest
from data_store.sources.download import download, is_address
from data_store.sources.transfer import Progress, shown
from data_store.store.schema import read_manifest
from tests.data_store.cells import adata, written


class Files(SimpleHTTPRequestHandler):
    """Serves a folder; counts what it sent."""

    sent: list[str]

    def do_GET(self) -> None:
        self.sent.append(self.path)
        super().do_GET()

    def log_message(self, *words: object) -> None:
        """Silence."""


class HalfFiles(BaseHTTPRequestHandler):
    """Promises more than it sends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half")

    def log_message(self, *words: object) -> None:
        """Silence."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("SCDFM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "cache"


def served(handler: type | partial) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that the server shows."""
    (tmp_path / "shown").mkdir()
    return tmp_path / "shown"


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    Files.sent = []
    yield from served(partial(Files, directory=str(folder)))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refused(url: str, match: str, **options: object) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        download(url, **{"sha256": None, **options})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def nothing_kept(cache: Path) -> bool:
    return not [file for file in cache.rglob("*") if file.is_file()]


def test_cells_at_an_address_become_a_store_that_records_their_hash(
    address: str, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(adata(), folder)
    caplog.set_level(logging.INFO)
    url = f"{address}/cells.h5ad?key=secret"
    ingest(url, tmp_path / "store")
    record = read_manifest(tmp_path / "store").sources[0]
    assert record.url == f"{address}/cells.h5ad"
    assert record.sha256 == sha256(folder / "cells.h5ad")
    assert not any("secret" in line for line in caplog.messages)
    ingest(url, tmp_path / "store")
    assert caplog.messages[-1].endswith("already holds these cells")
    assert len(Files.sent) == 1


def test_a_file_in_the_cache_is_used_while_it_is_what_came(address: str, folder: Path) -> None:
    content = written(adata(), folder, "x.h5ad").read_bytes()
    first = download(f"{address}/x.h5ad", sha256=None)
    assert download(f"{address}/x.h5ad", sha256=None) == first
    assert len(Files.sent) == 1
    first.path.write_bytes(b"bad")
    assert download(f"{address}/x.h5ad", sha256=None) == first
    assert first.path.read_bytes() == content
    assert len(Files.sent) == 2
    next(first.path.parent.glob("*.json")).write_text("{")
    download(f"{address}/x.h5ad", sha256=None)
    assert len(Files.sent) == 3


def test_the_hash_that_is_asked_for_decides(address: str, folder: Path, cache: Path) -> None:
    written(adata(), folder, "x.h5ad")
    refused(f"{address}/x.h5ad", f"got {sha256(folder / 'x.h5ad')}", sha256="0" * 64)
    assert nothing_kept(cache)
    wanted = sha256(folder / "x.h5ad").upper()
    download(f"{address}/x.h5ad", sha256=wanted)
    written(adata(["ctrl", "A"]), folder, "x.h5ad")
    new = sha256(folder / "x.h5ad")
    assert download(f"{address}/x.h5ad", sha256=new).sha256 == new


def test_a_missing_file_is_named_with_the_answer(address: str, cache: Path) -> None:
    refused(f"{address}/absent.h5ad", "absent.h5ad failed: the server answers 404")
    assert nothing_kept(cache)


def test_a_server_that_is_not_there_is_one_line(cache: Path) -> None:
    with socket.socket() as closed:  # nobody else has its port, and nobody listens
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        refused(f"{address}/x.h5ad", "refuses the connection")
    refused("http://no-such-host.invalid/x.h5ad", "failed: no such host")
    assert nothing_kept(cache)


def test_a_page_instead_of_a_file_is_not_kept(address: str, folder: Path, cache: Path) -> None:
    (folder / "x.h5ad").write_text("<!DOCTYPE html> log in")
    refused(f"{address}/x.h5ad", "22 bytes that begin with b'<!DOCTYPE")
    assert nothing_kept(cache)


def test_half_a_file_is_not_kept(cache: Path) -> None:
    for address in served(HalfFiles):
        refused(f"{address}/x.h5ad", "broke before the file was complete")
    assert nothing_kept(cache)


def test_a_full_disk_is_not_the_servers_fault(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("data_store.sources.transfer._copy", full)
    with pytest.raises(OSError, match=r"expected room for .*cache"):
        download("memory://bucket/cells.h5ad", sha256=None)
    assert nothing_kept(cache)


def test_a_zip_with_one_file_of_cells_is_unpacked(
    address: str, folder: Path, tmp_path: Path
) -> None:
    path = written(adata(), tmp_path)
    with zipfile.ZipFile(folder / "6154020", "w") as archive:
        archive.write(path, "norman/perturb_processed.h5ad")
        archive.writestr("norman/go.csv", "no cells")
    got = download(f"{address}/6154020", sha256=None)
    assert got.path.name == "6154020.perturb_processed.h5ad"
    assert got.path.read_bytes() == path.read_bytes()
    assert got.sha256 == sha256(folder / "6154020")
    assert download(f"{address}/6154020", sha256=None) == got
    with zipfile.ZipFile(folder / "two", "w") as archive:
        archive.write(path, "a.h5ad")
        archive.write(path, "b.h5ad")
    refused(f"{address}/two", r"one \.h5ad or .* file in the \.zip .*a\.h5ad, b\.h5ad")


def zipped(path: Path, **files: bytes) -> Path:
    """A .zip with a file of each name, not compressed."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.h5ad"), content)
    return path


def test_a_new_zip_is_unpacked_where_its_file_has_the_size_of_the_old_one(
    address: str, folder: Path
) -> None:
    zipped(folder / "x.zip", cells=b"first")
    download(f"{address}/x.zip", sha256=None)
    new = sha256(zipped(folder / "x.zip", cells=b"other"))
    got = download(f"{address}/x.zip", sha256=new)
    assert (got.path.read_bytes(), got.sha256) == (b"other", new)


def test_an_unpacked_file_that_was_changed_is_unpacked_again(address: str, folder: Path) -> None:
    zipped(folder / "x.zip", cells=b"first")
    got = download(f"{address}/x.zip", sha256=None)
    got.path.write_bytes(b"other")
    assert download(f"{address}/x.zip", sha256=None).path.read_bytes() == b"first"
    assert sorted(file.suffix for file in got.path.parent.iterdir()) == [
        ".h5ad", ".json", ".json", ".zip",
    ]  # fmt: skip


def test_a_damaged_zip_is_not_kept(address: str, folder: Path, cache: Path) -> None:
    path = zipped(folder / "x.zip", cells=b"first")
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    refused(f"{address}/x.zip", "it is damaged, or only a part of it came.*download it again")
    path.write_bytes(whole.replace(b"first", b"firsT"))
    refused(f"{address}/x.zip", r"cells\.h5ad in it is damaged")
    assert not cache.exists()
    path.write_bytes(whole)
    assert download(f"{address}/x.zip", sha256=None).path.read_bytes() == b"first"


def test_a_failed_download_leaves_no_folder(address: str, cache: Path) -> None:
    refused(f"{address}/absent.h5ad", "404")
    assert not cache.exists()
    cache.mkdir()  # the user's own
    refused(f"{address}/absent.h5ad", "404")
    assert list(cache.iterdir()) == []


def test_other_schemes_are_read_through_their_driver(tmp_path: Path, cache: Path) -> None:
    path = written(adata(), tmp_path)
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/cells.h5ad", path.read_bytes())
    try:
        ingest("memory://bucket/cells.h5ad", tmp_path / "store")
        assert read_manifest(tmp_path / "store").sources[0].sha256 == sha256(path)
        refused("memory://bucket/absent.h5ad", "no such file")
        refused("memory://bucket", "it is a folder")
    finally:
        memory.rm("/bucket", recursive=True)


def test_a_missing_driver_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)  # as if it were not installed
    for name in ("s3", "hdfs"):  # nor loaded by another test
        monkeypatch.delitem(_registry, name, raising=False)
    refused("s3://bucket/cells.h5ad", "driver that reads s3://.*pip install s3fs")
    refused("nowhere://x/cells.h5ad", "fsspec, got nowhere://x/cells.h5ad; correct it, or copy")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.fs", None)
    refused("hdfs://x/cells.h5ad", "driver that reads hdfs://")


class NoCredentialsError(Exception):
    """As botocore has it."""


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (NoCredentialsError("Unable to locate credentials"), "no credentials for memory:// are"),
        (PermissionError("Forbidden <Error>secret</Error>"), "access is refused"),
        (TimeoutError("('reading', 5)"), "the server does not answer"),
        (ConnectionResetError(104, "Connection reset by peer"), "no connection to the server"),
        (OSError(errno.EIO, "EIO in libx"), "Input/output error"),
        (KeyError("<class 'x'>"), "the driver of memory:// stopped with KeyError"),
    ],
)
def test_a_driver_that_fails_is_told_in_our_words(
    monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("data_store.sources.transfer._copy", broken)
    with pytest.raises(ValueError, match=why) as caught:
        download("memory://bucket/cells.h5ad", sha256=None)
    assert str(caught.value).startswith("download of memory://bucket/cells.h5ad failed: ")
    assert str(error) not in str(caught.value)


@pytest.mark.parametrize(
    ("flag", "why"), [(1, "it asks for a password"), (0, "packed in a way that Python does not")]
)
def test_a_zip_that_python_cannot_read_is_told_in_our_words(
    address: str, folder: Path, flag: int, why: str
) -> None:
    raw = bytearray(zipped(folder / "x.zip", cells=b"first").read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # in both headers of the file
        place = raw.index(mark) + at
        raw[place] |= flag
        raw[place + 2] = 0 if flag else 97
    (folder / "x.zip").write_bytes(raw)
    refused(f"{address}/x.zip", why)


def test_hashes_must_be_as_many_as_addresses(tmp_path: Path) -> None:
    options = IngestOptions(sha256=("0" * 64,))
    with pytest.raises(ValueError, match="one --sha256 for each address, got 1 for 0"):
        ingest(written(adata(), tmp_path), tmp_path / "store", options=options)


def test_a_manifest_without_addresses_is_as_it_was_before_there_were_any(tmp_path: Path) -> None:
    ingest(written(adata(), tmp_path), tmp_path / "store")
    record = json.loads((tmp_path / "store" / "manifest.json").read_text())["sources"][0]
    assert sorted(record) == ["cells", "fingerprint", "genes", "name"]


def test_paths_are_no_addresses() -> None:
    assert is_address("https://x.org/y.h5ad")
    assert is_address("s3://bucket/y.h5ad")
    assert not any(map(is_address, ("cells.h5ad", "C:/cells.h5ad", "/a//b.h5ad", "a b://c")))


def test_what_may_be_secret_is_not_shown() -> None:
    assert shown("https://me:word@x.org:8/a/b.h5ad?sig=1#z") == "https://x.org:8/a/b.h5ad"
    assert shown("s3://bucket/b.h5ad") == "s3://bucket/b.h5ad"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_what_has_come_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, expected in ((Terminal(), "\rx.h5ad: 5 of 12 MB\r\033[K"), (io.StringIO(), "")):
        monkeypatch.setattr("sys.stderr", stream)
        with Progress("x.h5ad") as progress:
            progress.total = 12_000_000
            progress.update(5_000_000)
            progress.update(1_000)
        assert stream.getvalue() == expected
