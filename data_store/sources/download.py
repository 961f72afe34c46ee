"""Downloaded files, kept in a cache (`transfer` downloads them).

A file is used if its SHA-256 is the one recorded at its download. It is written under another name
and renamed when it is complete, so half a file is never used.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import h5py

from data_store.disk.room import room_for
from data_store.sources.formats.known import format_of, known_endings, known_formats
from data_store.sources.notes import note
from data_store.sources.transfer import file_name, shown, transfer
from scdfm.screen.atomic import sha256 as hash_of
from scdfm.screen.folders import in_folder

CACHE = "SCDFM_CACHE"  # environment variable: the folder for downloads
_BLOCK = 1 << 20
_ZIP = b"PK\x03\x04"


class Download(NamedTuple):
    """A downloaded file."""

    path: Path
    url: str  # without what may be secret
    sha256: str  # of what came from the address


def is_address(text: str) -> bool:
    """Whether a source is an address such as https://... or s3://..., not a path."""
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
        sha256: Hash that the file must have; None means any.

    Raises:
        ValueError: No such address or driver, the transfer failed, or the hash is another.
    """
    folder = cache_folder() / hashlib.sha256(url.encode()).hexdigest()[:16]
    path = folder / file_name(url)
    found = _recorded(path)
    if found is None or (sha256 is not None and found != sha256.lower()):
        found = _fetch(url, path, sha256=sha256)
        note(f"{shown(url)}: downloaded, sha256 {found}")
    else:
        note(f"{shown(url)}: as downloaded before to {path}")
    return Download(path=_unpacked(path, sha256=found), url=shown(url), sha256=found)


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _recorded(path: Path, **expected: str) -> str | None:
    """The hash of a file that is unchanged since its download; None for any other."""
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
            transfer(url, came)
        _refuse_other_kinds(came, url=url)
        found = hash_of(came)
        if sha256 is not None and found != sha256.lower():
            raise ValueError(
                f"expected sha256 {sha256} at {shown(url)}, got {found}; correct --sha256, or "
                "look for another address: this is not the file you want"
            )
        _keep(came, path, {"url": shown(url), "sha256": found})
    return found


@contextmanager
def _arriving(path: Path) -> Iterator[Path]:
    """A place for a download, of this process alone; the rest is removed afterwards.

    So are the folders of the cache that were made for it, if nothing was kept in them.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    # Another download that fails removes the folders, too.
    partial = in_folder(
        path.parent, lambda: Path(tempfile.mkdtemp(prefix=".partial-", dir=path.parent))
    )
    try:
        yield partial / path.name
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()


def _keep(came: Path, path: Path, facts: dict[str, str]) -> None:
    """Give a file its own name; it never has another file's record."""
    record = _record(came)
    record.write_text(json.dumps(facts), encoding="utf-8")
    _record(path).unlink(missing_ok=True)
    came.replace(path)
    record.replace(_record(path))


def _refuse_other_kinds(path: Path, *, url: str) -> None:
    """Refuse, for example, a login page or half a .zip, which must not stay in the cache."""
    with path.open("rb") as file:
        start = file.read(24)
    if start.startswith(_ZIP):
        _refuse_damaged(path, url=url)
    elif not h5py.is_hdf5(path) and format_of(path) is None:
        raise ValueError(
            f"expected {known_formats()}, or a .zip of one, at {shown(url)}, "
            f"got {path.stat().st_size} bytes that begin with {start!r}; "
            "use the address of the file itself"
        )


def _refuse_damaged(archive: Path, *, url: str) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            bad = opened.testzip()
        reason = f"{bad} in it is damaged" if bad else ""
    except NotImplementedError:
        reason = "it is packed in a way that Python does not know"
    except RuntimeError:
        reason = "it asks for a password"
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError):
        reason = "it is damaged, or only a part of it came"
    if reason:
        raise ValueError(
            f"expected a .zip that can be unpacked at {shown(url)}, got one that cannot "
            f"({reason}); run the command again to download it again, or unpack it yourself and "
            "name the file"
        )


def _unpacked(path: Path, *, sha256: str) -> Path:
    """The one file of cells in a .zip, unpacked next to it; any other file as it is."""
    with path.open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            return path
    with zipfile.ZipFile(path) as archive:
        endings = known_endings()
        inside = [one for one in archive.infolist() if one.filename.lower().endswith(endings)]
        if len(inside) != 1:
            names = ", ".join(one.filename for one in inside) or "none"
            raise ValueError(
                f"expected one {' or '.join(endings)} file in the .zip {path}, found {names}; "
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
