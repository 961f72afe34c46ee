"""Files from the net, kept in a cache: https through pooch, s3:// and others through fsspec.

A file is used when its SHA-256 is what was recorded when it came. It comes under another name and
gets its own when it is whole, so that half a file is never trusted.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from data_store.disk.room import room_for
from data_store.sources.notes import note
from data_store.store.remote import no_driver
from scdfm.screen.atomic import sha256 as hash_of

CACHE = "SCDFM_CACHE"  # environment variable: the folder for downloads
_BLOCK = 1 << 20
_ZIP = b"PK\x03\x04"
_INSIDE = (".h5ad", ".h5")  # what is taken out of a .zip


class Download(NamedTuple):
    """A downloaded file."""

    path: Path
    url: str  # without what may be secret
    sha256: str  # of what came from the address


def is_address(text: str) -> bool:
    """Whether a source is an address such as https://... or s3://... and no path."""
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", text) is not None


def cache_folder() -> Path:
    """Where downloads are kept: SCDFM_CACHE, or the user's cache."""
    import pooch

    given = os.environ.get(CACHE)
    return Path(given) if given else Path(pooch.os_cache("scdfm"))


def download(url: str, *, sha256: str | None) -> Download:
    """The file at an address, from the cache when it is there and unchanged.

    A .zip with one .h5ad or .h5 inside is unpacked.

    Args:
        url: https://..., s3://... or another that fsspec has a driver for.
        sha256: That the file at the address must have; None means any.

    Raises:
        ValueError: No such address or driver, the transfer failed, or the hash is another.
    """
    folder = cache_folder() / hashlib.sha256(url.encode()).hexdigest()[:16]
    path = folder / _file_name(url)
    found = _recorded(path)
    if found is None or (sha256 is not None and found != sha256.lower()):
        found = _fetch(url, path, sha256=sha256)
        note(f"{shown(url)}: downloaded, sha256 {found}")
    else:
        note(f"{shown(url)}: as downloaded before to {path}")
    return Download(path=_unpacked(path, sha256=found), url=shown(url), sha256=found)


def shown(url: str) -> str:
    """An address without user, password and query, which may be secret."""
    scheme, _, rest = re.split(r"[?#]", url)[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _file_name(url: str) -> str:
    last = re.split(r"[?#]", url)[0].rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]", "_", last) or "cells"


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _recorded(path: Path, **expected: str) -> str | None:
    """The hash of a file that is as it was when it came; None for any other."""
    try:
        facts = json.loads(_record(path).read_text(encoding="utf-8"))
        found = str(facts["sha256"])
        known = all(facts[name] == value for name, value in expected.items())
        return found if known and found == hash_of(path) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fetch(url: str, path: Path, *, sha256: str | None) -> str:
    with _arriving(path) as came:
        with room_for(path.parent):
            _transfer(url, came)
        _refuse_other_kinds(came, url=url)
        found = hash_of(came)
        if sha256 is not None and found != sha256.lower():
            raise ValueError(
                f"expected sha256 {sha256} at {shown(url)}, got {found}; correct --sha256, or the file "
                "is not the one you want"
            )
        _keep(came, path, {"url": shown(url), "sha256": found})
    return found


@contextmanager
def _arriving(path: Path) -> Iterator[Path]:
    """Where a file may come, of this process alone; what is left there is removed.

    So are the folders of the cache that were made for it, when nothing was kept in them.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=path.parent))
    try:
        yield partial / path.name
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()


def _keep(came: Path, path: Path, facts: dict[str, str]) -> None:
    """Give a file its own name; no moment shows it with another file's record."""
    record = _record(came)
    record.write_text(json.dumps(facts), encoding="utf-8")
    _record(path).unlink(missing_ok=True)
    came.replace(path)
    record.replace(_record(path))


def _refuse_other_kinds(path: Path, *, url: str) -> None:
    """A page that asks to log in, or half a .zip, must not stay in the cache as cells."""
    with path.open("rb") as file:
        start = file.read(24)
    if start.startswith(_ZIP):
        _refuse_damaged(path, url=url)
    elif not h5py.is_hdf5(path):
        raise ValueError(
            f"expected an .h5ad, 10x .h5 or .zip file at {shown(url)}, got {path.stat().st_size} "
            f"bytes that begin with {start!r}; use the address of the file itself"
        )


def _refuse_damaged(archive: Path, *, url: str) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            bad = opened.testzip()
        reason = f"{bad} in it is damaged" if bad else ""
    # RuntimeError: it asks for a password, or is packed in a way that Python cannot read.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        reason = _one_line(error)
    if reason:
        raise ValueError(
            f"expected a .zip that can be unpacked at {shown(url)}, it cannot ({reason}); run the "
            "command again to download it again, or unpack it yourself and name the file"
        )


def _transfer(url: str, path: Path) -> None:
    with Progress(_file_name(url)) as progress:
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
    """What went wrong, without the library's nested wrapping."""
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
        return "the connection broke before the file was whole"
    return type(error).__name__  # the text repeats the address with what may be secret


def _over_fsspec(url: str, path: Path, *, progress: "Progress") -> None:
    from fsspec.core import url_to_fs

    try:
        system, place = url_to_fs(url)
    except ImportError as error:
        raise ValueError(no_driver(shown(url), error)) from None
    except ValueError as error:
        raise ValueError(
            f"expected an address with https://, s3://, gs:// or another scheme of fsspec, got "
            f"{shown(url)} ({_one_line(error)})"
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
        raise _failed(url, _one_line(error)) from None


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
        f"expected to download {shown(url)}, it failed: {reason}; check the address, or download it by "
        "hand and name the file"
    )


def _unpacked(path: Path, *, sha256: str) -> Path:
    """The one file of cells in a .zip beside it; any other file as it is."""
    with path.open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            return path
    with zipfile.ZipFile(path) as archive:
        inside = [one for one in archive.infolist() if one.filename.endswith(_INSIDE)]
        if len(inside) != 1:
            names = ", ".join(one.filename for one in inside) or "none"
            raise ValueError(
                f"expected one {' or '.join(_INSIDE)} file in the .zip {path}, found {names}; "
                "unpack it and name the files"
            )
        target = path.with_name(f"{path.name}.{Path(inside[0].filename).name}")
        # Another version of the .zip may hold a file of the same name and size.
        if _recorded(target, zip=sha256) is None:
            with _arriving(target) as came, room_for(target.parent):
                with archive.open(inside[0]) as source, came.open("wb") as out:
                    shutil.copyfileobj(source, out, _BLOCK)
                _keep(came, target, {"zip": sha256, "sha256": hash_of(came)})
    return target


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


class Progress:
    """How much of a file has come, on a terminal; pooch drives it, too."""

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
        """So many bytes more."""
        self._done += count
        megabytes = self._done // 1_000_000
        if self._terminal and megabytes > self._shown:
            self._shown = megabytes
            whole = f" of {self.total // 1_000_000}" if self.total else ""
            sys.stderr.write(f"\r{self._name}: {megabytes}{whole} MB")
            sys.stderr.flush()

    def reset(self) -> None:
        """Count again from nothing, as pooch asks at the end."""
        self._done = 0

    def close(self) -> None:
        """Nothing is held."""
