"""Stores behind a URL, to read: s3://, gs://, https://, memory:// and whatever else fsspec knows.

They are read through zarr's own stores, many ranges at a time: a network answers slowly, but it
answers many requests at once. A broken connection is tried again. The manifest is written last;
a place without one holds no store.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zarr
from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import ByteRequest, RangeByteRequest
from zarr.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore

from data_store.disk.files import Files, LocalFiles, Range, UnreachableError
from data_store.disk.network import may_pass, network_errors, network_reason, no_driver
from data_store.store.schema import MANIFEST, Manifest, parse_manifest, read_manifest
from scdfm.screen.address import url_of

IN_FLIGHT = 64  # reads of one store at a time
WAITS = (0.2, 0.6, 1.8, 4.0, 6.0)  # seconds before a read that failed is tried again; 12 in all


def open_files(path: Path | str) -> Files:
    """The files at a path or URL.

    Raises:
        ValueError: No driver for such URLs is installed.
    """
    url = url_of(path)
    return LocalFiles(Path(path)) if url is None else RemoteFiles(url)


def manifest_of(files: Files) -> Manifest:
    """The manifest of a store, here or behind a URL.

    Raises:
        FileNotFoundError: There is nothing at this path.
        ValueError: It is not a store, is unfinished, or has another schema; names the file.
    """
    try:
        raw = files.read(MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        if isinstance(files, LocalFiles):
            return read_manifest(files.where)  # which tells what is missing
        raise ValueError(
            f"expected a store with {MANIFEST} at {files.where}, found none; it is not a store or "
            "its upload never finished: ingest again"
        ) from None
    return parse_manifest(raw, path=f"{files.where}/{MANIFEST}")


class _Patient(FsspecStore):
    """Repeats reads, zarr's own too, after a busy server or a broken connection."""

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        for wait in (*WAITS, None):
            try:
                return await super().get(key, prototype, byte_range)
            except network_errors() as error:
                if wait is None or not may_pass(error):
                    raise self._unreachable(key, error) from None
                await asyncio.sleep(wait)
        raise AssertionError("the last try returns or raises")

    def _unreachable(self, key: str, error: Exception) -> UnreachableError:
        return UnreachableError(
            f"could not read {key} of the store {self.fs.unstrip_protocol(self.path)} "
            f"({network_reason(error)}); check the address, the network and your access"
        )


class RemoteFiles:
    """Files below a URL."""

    remote = True

    def __init__(self, url: str) -> None:
        self.where = url
        try:
            self._store = _Patient.from_url(url, read_only=True)
        except ImportError as error:
            raise ValueError(no_driver(url, error)) from None
        except ValueError:  # fsspec: Protocol not known
            raise ValueError(
                f"expected a URL with s3://, gs://, https:// or another scheme of fsspec, got {url}"
            ) from None
        # All reads run in zarr's own loop, whichever thread asks.
        self._free = asyncio.Semaphore(IN_FLIGHT)

    def read(self, name: str) -> bytes:
        (raw,) = self.read_all([name])
        if raw is None:
            raise FileNotFoundError(f"{self.where}/{name}")
        return raw

    def read_all(self, names: Sequence[str]) -> list[bytes | None]:
        return self._all([(name, None) for name in names])

    def ranges(self, wanted: Sequence[Range]) -> list[bytes | None]:
        return self._all(
            [(part.name, RangeByteRequest(part.start, part.start + part.size)) for part in wanted]
        )

    def group(self, name: str) -> Any:
        return zarr.open_group(self._store, path=name, mode="r")

    def close(self) -> None:
        self._store.close()

    def _all(self, wanted: Sequence[tuple[str, RangeByteRequest | None]]) -> list[bytes | None]:
        return sync(self._gather(wanted))

    async def _gather(
        self, wanted: Sequence[tuple[str, RangeByteRequest | None]]
    ) -> list[bytes | None]:
        return list(await asyncio.gather(*(self._get(name, part) for name, part in wanted)))

    async def _get(self, name: str, part: RangeByteRequest | None) -> bytes | None:
        async with self._free:
            buffer = await self._store.get(name, default_buffer_prototype(), part)
        if buffer is None:
            return None
        raw = buffer.to_bytes()
        if part is not None and len(raw) > part.end - part.start:
            raise ValueError(
                f"expected a server that sends parts of files at {self.where}, got whole files; "
                "use one that supports the Range header"
            )
        return raw
