"""A store behind a URL gives the same cells, many reads at a time."""

import asyncio
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import fsspec
import numpy as np
import pytest
from fsspec.asyn import AsyncFileSystem

from data_store.ingest.write import ingest
from data_store.publish.upload import upload
from data_store.store.reader import Store
from data_store.stream import BatchConfig, Cells, Stream
from scdfm.screen.address import url_of

CONFIG = BatchConfig(conditions=5, cells=8, genes=20)


class Slow(AsyncFileSystem):
    """Files in memory, whose reads may wait for each other; who reads alone waits in vain."""

    protocol = "slow"
    files: dict[str, bytes] = {}  # noqa: RUF012
    together = 0  # reads that are answered at once
    meetings = 0  # times that so many have to come together; then each is answered by itself
    waiting: list[asyncio.Future[None]] = []  # noqa: RUF012
    reads = 0
    breaks = 0  # reads to come that find the connection broken
    broken: Exception = ConnectionResetError("the connection broke")

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        kind = type(self)
        kind.reads += 1
        if kind.meetings:
            await kind._meet()
        if kind.breaks:
            kind.breaks -= 1
            raise self.broken
        name = self._strip_protocol(path).lstrip("/")
        if name not in self.files:
            raise FileNotFoundError(path)
        return self.files[name][start:end]

    @classmethod
    async def _meet(cls) -> None:
        """Wait until as many reads are under way as are answered at once."""
        answer = asyncio.get_running_loop().create_future()
        cls.waiting.append(answer)
        if len(cls.waiting) == cls.together:
            cls.meetings -= 1
            for one in cls.waiting:
                one.set_result(None)
            cls.waiting.clear()
        try:
            await asyncio.wait_for(answer, 60)
        except TimeoutError:
            raise RuntimeError(f"{len(cls.waiting)} reads wait for others") from None


@pytest.fixture
def slow(tiny_store_path: Path) -> Iterator[type[Slow]]:
    """The tiny store at slow://store."""
    fsspec.register_implementation("slow", Slow, clobber=True)
    Slow.files = {
        f"store/{file.relative_to(tiny_store_path).as_posix()}": file.read_bytes()
        for file in tiny_store_path.rglob("*")
        if file.is_file()
    }
    yield Slow
    Slow.files, Slow.breaks, Slow.meetings = {}, 0, 0
    Slow.waiting.clear()


@pytest.fixture
def served(tiny_store_path: Path) -> Iterator[str]:
    """The tiny store behind http on this machine."""
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Ranges, directory=str(tiny_store_path))
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class _Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves parts of files, which Python's own handler does not."""

    def do_GET(self) -> None:
        file = Path(self.translate_path(self.path))
        if not file.is_file():
            self.send_error(404)
            return
        raw, wanted = file.read_bytes(), self.headers.get("Range")
        if wanted:
            first, last = (int(part) for part in wanted.removeprefix("bytes=").split("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(raw)}")
            raw = raw[first : last + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        pass


def stream(store: Store) -> Stream:
    targets = [Cells(k, u.start, u.stop) for k, u in enumerate(store.units) if not u.is_control]
    return Stream(store, targets=targets, genes=np.arange(60), config=CONFIG, seed=3)


def assert_the_same(url: str, local: Path) -> None:
    with Store.open(url) as far, Store.open(local) as near:
        assert (far.fingerprint, far.units, far.genes) == (near.fingerprint, near.units, near.genes)
        np.testing.assert_array_equal(far.expression(3, 450), near.expression(3, 450))
        units = range(len(near.units))
        far_total, near_total = (s.moments.sum_of("total", units) for s in (far, near))
        np.testing.assert_array_equal(far_total, near_total)
        assert far.obs(10, 20).equals(near.obs(10, 20))
        for one, other in zip(
            stream(far).batches(stop=6), stream(near).batches(stop=6), strict=True
        ):
            assert one.units == other.units
            np.testing.assert_array_equal(one.target, other.target)
            np.testing.assert_array_equal(one.control, other.control)


def test_a_server_gives_the_values_of_the_local_store(served: str, tiny_store_path: Path) -> None:
    assert_the_same(served, tiny_store_path)


def test_memory_gives_the_values_of_the_local_store(
    memory: fsspec.AbstractFileSystem, tiny_store_path: Path
) -> None:
    upload(tiny_store_path, "memory://bucket/store")
    assert_the_same("memory://bucket/store", tiny_store_path)


def test_a_batch_waits_for_the_network_twice_and_not_for_every_read(slow: type[Slow]) -> None:
    with Store.open("slow://store", cache_bytes=0) as store:
        drawn = stream(store)
        drawn.batch(0)  # learns where chunks are
        # Five units and their controls: row pointers and library sizes, then values and genes.
        slow.together, slow.meetings, slow.reads = 2 * (5 + 5), 2, 0
        drawn.batch(1)
    assert (slow.reads, slow.meetings) == (40, 0)


def test_batches_ahead_share_the_wait(slow: type[Slow]) -> None:
    with Store.open("slow://store", cache_bytes=0) as store:
        stream(store).batch(0)
        slow.together, slow.meetings = 20 + 1, 1  # more than one batch reads at once
        assert sum(1 for _ in stream(store).batches(stop=16)) == 16
    assert slow.meetings == 0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_store.store.remote.WAITS", (0.0, 0.0, 0.0))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "error", [ConnectionResetError("broken"), aiohttp.ServerDisconnectedError(), TimeoutError()]
)
def test_a_connection_that_breaks_is_tried_again(
    slow: type[Slow], error: Exception, tiny_store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow, "broken", error)
    slow.breaks = 3
    with Store.open("slow://store", cache_bytes=0) as far, Store.open(tiny_store_path) as near:
        slow.breaks = 3
        np.testing.assert_array_equal(far.expression(3, 450), near.expression(3, 450))
        slow.breaks = 3  # what zarr reads
        assert far.genes == near.genes


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_stays_broken_is_named(slow: type[Slow]) -> None:
    with Store.open("slow://store", cache_bytes=0) as store:
        slow.breaks = 1_000
        with pytest.raises(ValueError, match=r"^could not read .* of the store slow://store"):
            store.expression(0, 10)
        with pytest.raises(ValueError, match=r"^could not read .* of the store slow://store"):
            _ = store.moments


@pytest.mark.usefixtures("impatient")
def test_a_server_that_denies_is_asked_once(
    slow: type[Slow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow, "broken", PermissionError("denied"))
    slow.breaks, slow.reads = 1_000, 0
    with pytest.raises(ValueError, match="denied"):
        Store.open("slow://store")
    assert slow.reads == 1


def test_what_was_read_is_kept_within_its_bytes(slow: type[Slow]) -> None:
    with Store.open("slow://store") as store:
        store.expression(0, 600)
        slow.reads = 0
        store.expression(0, 600)
        assert slow.reads == 0
        assert 0 < store._reader.cache.bytes < 200_000
    with Store.open("slow://store", cache_bytes=5_000) as store:
        store.expression(0, 600)
        slow.reads = 0
        store.expression(0, 600)
        assert slow.reads > 0
        assert store._reader.cache.bytes <= 5_000


def test_a_flipped_bit_names_store_and_shard(slow: type[Slow]) -> None:
    name = "cells.zarr/X/data/c/0"
    raw = bytearray(slow.files[f"store/{name}"])
    raw[100] ^= 4
    slow.files[f"store/{name}"] = bytes(raw)
    with Store.open("slow://store") as store, pytest.raises(ValueError, match=f"{name} of the st"):
        store.expression(0, 600)
    del slow.files[f"store/{name}"]
    with Store.open("slow://store") as store, pytest.raises(ValueError, match=f"{name} in the st"):
        store.expression(0, 600)


@pytest.mark.parametrize("name", ["cells.zarr/var/_index/c/0", "conditions.parquet"])
def test_a_flipped_bit_in_a_small_file_is_named(slow: type[Slow], name: str) -> None:
    raw = bytearray(slow.files[f"store/{name}"])
    raw[30] ^= 4
    slow.files[f"store/{name}"] = bytes(raw)
    with pytest.raises(ValueError, match=f"{name} of the store slow://store, got changed ones"):
        Store.open("slow://store")
    del slow.files[f"store/{name}"]
    with pytest.raises(ValueError, match=f"{name} of the store slow://store, got no file"):
        Store.open("slow://store")


def test_without_a_manifest_there_is_no_store(slow: type[Slow]) -> None:
    del slow.files["store/manifest.json"]
    with pytest.raises(ValueError, match=r"manifest.json at slow://store, found none"):
        Store.open("slow://store")


def test_a_server_that_sends_whole_files_is_named(
    served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Ranges, "do_GET", http.server.SimpleHTTPRequestHandler.do_GET)
    with Store.open(served) as store, pytest.raises(ValueError, match="Range header"):
        store.expression(0, 10)


def test_a_server_that_refuses_is_named(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Ranges, "do_GET", lambda self: self.send_error(403))
    with pytest.raises(
        ValueError, match=r"could not read .*\(it answered with status 403\).*your access"
    ):
        Store.open(served)


def test_a_server_that_is_gone_is_named() -> None:
    with pytest.raises(ValueError, match=r"could not .*check the address"):
        Store.open("http://127.0.0.1:9/store")


@pytest.mark.parametrize(
    ("url", "remedy"),
    [("s3://bucket/store", "pip install s3fs"), ("gs://bucket/store", "pip install gcsfs")],
)
def test_a_missing_driver_is_named(url: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise ImportError(f"Install it to access {url}")

    monkeypatch.setattr("fsspec.core.get_filesystem_class", absent)
    with pytest.raises(ValueError, match=remedy):
        Store.open(url)
    with pytest.raises(ValueError, match=remedy):
        ingest("nothing.h5ad", url)


def test_a_url_that_became_a_path_is_a_url_again() -> None:
    assert url_of(Path("s3://bucket/store.zarr")) == "s3://bucket/store.zarr"
    assert url_of("memory://a/b/") == "memory://a/b"
    assert url_of("/data/store.zarr") is url_of("store.zarr") is url_of("C:/store") is None
