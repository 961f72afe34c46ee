"""Bytes from an address to a file: https through pooch, s3:// and others through fsspec."""

import errno
import os
import re
import sys
from pathlib import Path
from typing import Any

from data_store.disk.network import no_driver

_BLOCK = 1 << 20


def transfer(url: str, path: Path) -> None:
    """Write what is at an address to a file.

    Raises:
        ValueError: There is nothing, no driver, or the connection failed; in one line.
        OSError: The disk is full.
    """
    with Progress(file_name(url)) as progress:
        if url.lower().startswith(("http://", "https://")):
            _over_http(url, path, progress=progress)
        else:
            _over_fsspec(url, path, progress=progress)


def _over_http(url: str, path: Path, *, progress: "Progress") -> None:
    import pooch

    fetch = pooch.HTTPDownloader(progressbar=progress, chunk_size=_BLOCK)
    try:
        fetch(url, str(path), None)
    except OSError as error:
        if error.errno is not None:  # of the disk; those of requests have no number
            raise
        raise _failed(url, _http_reason(error)) from None


def _http_reason(error: OSError) -> str:
    """The cause, without the library's nested errors."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answers {response.status_code} {response.reason}"
    text = str(error)
    if "timed out" in text:
        return "the server does not answer"
    if "NameResolution" in text or "getaddrinfo" in text:
        return "no such host"
    if "refused" in text:
        return "the server refuses the connection"
    if "IncompleteRead" in text or "broken" in text:
        return "the connection broke before the file was complete"
    return type(error).__name__  # the text repeats the address with what may be secret


def _over_fsspec(url: str, path: Path, *, progress: "Progress") -> None:
    from fsspec.core import url_to_fs

    try:
        system, place = url_to_fs(url)
    except ImportError as error:
        raise ValueError(no_driver(shown(url), error)) from None
    except ValueError:
        raise ValueError(
            f"expected an address with https://, s3://, gs:// or another scheme of fsspec, got "
            f"{shown(url)}; correct it, or copy the file here and name it"
        ) from None
    try:
        _copy(system, place, path, progress=progress)
    except IsADirectoryError:
        raise _failed(url, "it is a folder; name a file, or copy the folder here first") from None
    except FileNotFoundError:
        raise _failed(url, "no such file") from None
    # A driver raises the errors of its own client library, which is not ours to know.
    except Exception as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise  # of our disk
        raise _failed(url, _driver_reason(error, scheme=url.partition("://")[0])) from None


def _driver_reason(error: Exception, *, scheme: str) -> str:
    """The cause by the error's kind: its text is the library's, and may hold what is secret."""
    kinds = " ".join(kind.__name__ for kind in type(error).__mro__)
    status = getattr(error, "status", None) or getattr(error, "code", None)
    if "Credentials" in kinds:
        return f"no credentials for {scheme}:// are set on this machine"
    if isinstance(error, PermissionError) or status in (401, 403):
        return "access is refused; check your credentials"
    if isinstance(error, TimeoutError) or "Timeout" in kinds:
        return "the server does not answer"
    if isinstance(error, ConnectionError) or "Connect" in kinds:
        return "no connection to the server"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return f"the driver of {scheme}:// stopped with {type(error).__name__}"


def _copy(system: Any, place: str, path: Path, *, progress: "Progress") -> None:
    if system.isdir(place):
        raise IsADirectoryError(place)
    with system.open(place, "rb") as source, path.open("wb") as target:
        progress.total = int(system.size(place) or 0)
        while block := source.read(_BLOCK):
            target.write(block)
            progress.update(len(block))


def _failed(url: str, reason: str) -> ValueError:
    return ValueError(
        f"download of {shown(url)} failed: {reason}; check the address, or download it by hand "
        "and name the file"
    )


def shown(url: str) -> str:
    """An address without user, password and query, which may be secret."""
    scheme, _, rest = re.split(r"[?#]", url)[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def file_name(url: str) -> str:
    """A name for the file at an address."""
    last = re.split(r"[?#]", url)[0].rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]", "_", last) or "cells"


class Progress:
    """Progress of a download on a terminal; pooch uses it, too."""

    def __init__(self, name: str) -> None:
        self.total = 0
        self._name, self._done, self._shown = name, 0, -1
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self._shown >= 0:
            sys.stderr.write("\r\033[K")

    def update(self, count: int) -> None:
        """Add bytes."""
        self._done += count
        megabytes = self._done // 1_000_000
        if self._terminal and megabytes > self._shown:
            self._shown = megabytes
            whole = f" of {self.total // 1_000_000}" if self.total else ""
            sys.stderr.write(f"\r{self._name}: {megabytes}{whole} MB")
            sys.stderr.flush()

    def reset(self) -> None:
        """Count from zero again, as pooch asks at the end."""
        self._done = 0

    def close(self) -> None:
        """Do nothing: there is nothing to close."""
