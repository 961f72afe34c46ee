"""An object store behind an address, through fsspec: s3://, gs://, memory:// and others.

What fsspec lacks is asked of the store's own client: S3 writes an object only if it is new
(`If-None-Match: *`) or still the one that was read (`If-Match`); Google's counts generations of an
object, 0 where there is none (`ifGenerationMatch`).
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeVar

import fsspec
from fsspec.asyn import sync

from cluster.storage.storage import Found, StorageError, TakenError
from data_store.disk.network import may_pass, network_errors, network_reason, no_driver

log = logging.getLogger(__name__)

WAITS = (0.2, 0.6, 1.8, 4.0, 8.0, 16.0)  # seconds before a request is repeated; 30 in all

# Its client would repeat each request for a minute, mute.
_ONCE = {"config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": 1}}}
_OF_SCHEME: dict[str, Mapping[str, object]] = {"s3": _ONCE, "s3a": _ONCE}
_SAID = 1.8  # seconds; a wait that is longer is told
_READ_ONLY = ("http", "https")
_MEMORY = Lock()  # memory:// is one place for the whole process

Answer = TypeVar("Answer")


class Objects:
    """Objects below an address. A broken connection is tried again."""

    def __init__(self, address: str) -> None:
        """Open an address.

        Raises:
            ValueError: No driver for it is installed, or it can only be read.
        """
        self._address = address
        scheme = address.partition("://")[0]
        if scheme in _READ_ONLY:
            raise ValueError(
                f"expected a place to write to, got {address}, and {scheme}:// can only be read; "
                "name a folder or a bucket such as s3://bucket/runs"
            )
        try:
            # Another process may have written since a listing was kept.
            settings = {"use_listings_cache": False, **_OF_SCHEME.get(scheme, {})}
            self._system, root = fsspec.core.url_to_fs(address, **settings)
        except ImportError as error:
            raise ValueError(no_driver(address, error)) from None
        except ValueError:  # fsspec: Protocol not known
            raise ValueError(
                f"expected an address with s3://, gs:// or another scheme of fsspec, got {address}"
            ) from None
        self._root = root.rstrip("/")
        self._client = _client(scheme, self._system)

    @property
    def where(self) -> str:
        return self._address

    @property
    def conditional(self) -> bool:
        return self._client.conditional

    def read(self, name: str) -> Found | None:
        try:
            return self._patiently(lambda: self._client.get(self._path(name)), name, "read")
        except FileNotFoundError:
            return None

    def put(self, name: str, content: bytes) -> None:
        self._patiently(lambda: self._system.pipe_file(self._path(name), content), name, "write")

    def put_if(self, name: str, content: bytes, *, tag: str | None) -> str:
        path = self._path(name)

        def write() -> str:
            try:
                return self._client.put_if(path, content, tag=tag)
            except TakenError:
                # The answer to an earlier try may have been lost on its way: then this is ours.
                there = self._client.get(path)
                if there.content != content:
                    raise
                return there.tag

        try:
            return self._patiently(write, name, "write")
        except FileNotFoundError:
            raise TakenError(path) from None

    def send(self, file: Path, name: str) -> None:
        path = self._path(name)
        self._patiently(lambda: self._system.put_file(str(file), path), name, "write")

    def fetch(self, name: str, file: Path) -> bool:
        path = self._path(name)
        try:
            self._patiently(lambda: self._system.get_file(path, str(file)), name, "read")
        except FileNotFoundError:
            file.unlink(missing_ok=True)
            return False
        return True

    def names(self, below: str = "") -> list[str]:
        root = self._path(below)
        try:
            found = self._patiently(lambda: self._system.find(root), below or ".", "list")
        except FileNotFoundError:
            return []
        start = len(self._root) + 1
        return sorted(str(path)[start:] for path in found if str(path) != self._root)

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            path = self._path(name)
            with suppress(FileNotFoundError):
                self._patiently(partial(self._system.rm_file, path), name, "remove")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    def _patiently(self, act: Callable[[], Answer], name: str, verb: str) -> Answer:
        """Do something, also where the network fails for some seconds.

        Raises:
            FileNotFoundError: Nothing is there.
            ValueError: The store refuses, and would again.
            StorageError: It could not be reached.
        """
        for wait in (*WAITS, None):
            try:
                return act()
            except FileNotFoundError as error:
                if _no_bucket(error):
                    raise ValueError(self._line(name, verb, "there is no such bucket")) from None
                raise
            except network_errors() as error:
                line = self._line(name, verb, network_reason(error))
                if not may_pass(error):
                    raise ValueError(line) from None
                if wait is None:
                    raise StorageError(line) from None
                if wait >= _SAID:
                    log.info(
                        "%s: %s; trying again in %.0f s", self._address, network_reason(error), wait
                    )
                time.sleep(wait)
        raise AssertionError("the last try returns or raises")

    def _line(self, name: str, verb: str, why: str) -> str:
        return (
            f"could not {verb} {name} at {self._address} ({why}); check the address, the network "
            "and your access, and run the command again to go on"
        )


class _Client(Protocol):
    """Conditional writes of a store."""

    conditional: bool

    def get(self, path: str) -> Found: ...

    def put_if(self, path: str, content: bytes, *, tag: str | None) -> str: ...


class _Plain:
    """A store without conditional writes: read, write, read back."""

    conditional = False

    def __init__(self, system: Any) -> None:
        self._system = system

    def get(self, path: str) -> Found:
        content: bytes = self._system.cat_file(path)
        return Found(content, sha256(content).hexdigest())

    def put_if(self, path: str, content: bytes, *, tag: str | None) -> str:
        if self._tag(path) != tag:
            raise TakenError(path)
        self._system.pipe_file(path, content)
        mine = sha256(content).hexdigest()
        if self._tag(path) != mine:
            raise TakenError(path)
        return mine

    def _tag(self, path: str) -> str | None:
        try:
            return self.get(path).tag
        except FileNotFoundError:
            return None


class _Memory(_Plain):
    """memory://, which only this process sees."""

    conditional = True

    def put_if(self, path: str, content: bytes, *, tag: str | None) -> str:
        with _MEMORY:
            return super().put_if(path, content, tag=tag)


class _S3:
    """S3 and what speaks like it."""

    conditional = True

    def __init__(self, system: Any) -> None:
        self._system = system

    def get(self, path: str) -> Found:
        bucket, key, _ = self._system.split_path(path)
        content, tag = sync(self._system.loop, self._get, bucket, key)
        return Found(content, tag)

    async def _get(self, bucket: str, key: str) -> tuple[bytes, str]:
        answer = await self._system._call_s3("get_object", Bucket=bucket, Key=key)
        async with answer["Body"] as body:
            return await body.read(), answer["ETag"]

    def put_if(self, path: str, content: bytes, *, tag: str | None) -> str:
        bucket, key, _ = self._system.split_path(path)
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        try:
            answer = self._system.call_s3(
                "put_object", Bucket=bucket, Key=key, Body=content, **condition
            )
        except OSError as error:
            if _refused(error, of=tag):
                raise TakenError(path) from None
            raise
        return str(answer["ETag"])


class _Google:
    """Google Cloud Storage."""

    conditional = True

    def __init__(self, system: Any) -> None:
        self._system = system

    def get(self, path: str) -> Found:
        bucket, key, _ = self._system.split_path(path)
        headers, content = self._system.call("GET", "b/{}/o/{}", bucket, key, alt="media")
        return Found(content, headers["X-Goog-Generation"])

    def put_if(self, path: str, content: bytes, *, tag: str | None) -> str:
        bucket, key, _ = self._system.split_path(path)
        place = f"{self._system._location}/upload/storage/v1/b/{bucket}/o"
        asked = {"uploadType": "media", "name": key, "ifGenerationMatch": tag or "0"}
        try:
            answer = self._system.call("POST", place, data=content, json_out=True, **asked)
        except FileExistsError:  # how gcsfs tells of status 412
            raise TakenError(path) from None
        return str(answer["generation"])


def _refused(error: OSError, *, of: str | None) -> bool:
    """Whether S3 says that the condition does not hold, or that another write is under way."""
    told, status = _told(error)
    return status in (409, 412) or (of is not None and told == "NoSuchKey")


def _no_bucket(error: OSError) -> bool:
    return _told(error)[0] == "NoSuchBucket"


def _told(error: OSError) -> tuple[str, int]:
    """Code and status of S3's answer."""
    answer = getattr(error.__cause__, "response", None)
    if not isinstance(answer, dict):
        return "", 0
    code, facts = answer.get("Error", {}).get("Code"), answer.get("ResponseMetadata", {})
    return str(code), int(facts.get("HTTPStatusCode", 0))


def _client(scheme: str, system: Any) -> _Client:
    kinds: dict[str, Callable[[Any], _Client]] = {
        **dict.fromkeys(("s3", "s3a"), _S3),
        **dict.fromkeys(("gs", "gcs"), _Google),
        "memory": _Memory,
    }
    return kinds.get(scheme, _Plain)(system)
