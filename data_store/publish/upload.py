"""Write a store to a URL: make it on this machine, then send it, the manifest last.

An object store cannot rename a directory. So the manifest alone commits: it is removed first when
a store is replaced and sent last when one is written; files without it are not a store.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import fsspec

from data_store.disk.network import network_errors, network_reason, no_driver
from data_store.disk.room import room_for
from data_store.publish.commit import committed
from data_store.publish.leftovers import scratch
from data_store.publish.swap import tidy
from data_store.store.remote import manifest_of, open_files
from data_store.store.schema import CELLS, CONDITIONS, MANIFEST, MOMENTS, Manifest
from scdfm.screen.address import url_of

_READ_ONLY = ("http", "https")
_OURS = (CELLS, CONDITIONS, MOMENTS)


def new_store(
    place: Path | str, *, overwrite: bool, append: bool = False
) -> AbstractContextManager[Path]:
    """A new directory that becomes the store at a path or URL when the block ends without an error.

    Raises:
        FileExistsError: There is something at the place already.
        ValueError: The URL cannot be written to, or --append was asked for.
    """
    url = url_of(place)
    if url is None:
        return committed(Path(place), overwrite=overwrite, append=append)
    if append:
        raise ValueError(
            f"expected a store on this machine to append to, got {url}; append to a local one and "
            "ingest all of it there"
        )
    return _sent(url, overwrite=overwrite)


def require_writable(url: str) -> None:
    """Check that stores can be written to such URLs.

    Raises:
        ValueError: They can only be read, or their driver is not installed.
    """
    _writable(url)


def discard_leftovers(place: Path | str) -> None:
    """Remove what a killed process left next to a store on this machine."""
    if url_of(place) is None:
        tidy(Path(place))


def manifest_at(place: Path | str) -> Manifest | None:
    """The manifest at a path or URL, None where there is none.

    Raises:
        ValueError: It is damaged, or has another schema.
    """
    files = open_files(place)
    try:
        files.read(MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return manifest_of(files)


def upload(folder: Path, url: str, *, overwrite: bool = False) -> None:
    """Send the store in a folder to a URL.

    Raises:
        FileExistsError: There is a store, or something else.
        ValueError: The URL cannot be written to.
    """
    system, root = _writable(url)
    try:
        _make_room(system, root, url=url, overwrite=overwrite)
        names = [
            file.relative_to(folder).as_posix()
            for file in sorted(folder.rglob("*"))
            if file.is_file() and file.name != MANIFEST
        ]
        system.put([str(folder / name) for name in names], [f"{root}/{name}" for name in names])
        system.put_file(str(folder / MANIFEST), f"{root}/{MANIFEST}")
    except FileExistsError:
        raise
    except network_errors() as error:
        raise ValueError(
            f"could not write the store to {url} ({network_reason(error)}), and there is none "
            "there now; check your access and ingest again"
        ) from None


@contextmanager
def _sent(url: str, *, overwrite: bool) -> Iterator[Path]:
    system, root = _writable(url)
    if not overwrite and system.exists(f"{root}/{MANIFEST}"):
        raise _taken(url)
    with scratch() as folder:
        with room_for(folder, remedy="set TMPDIR to a folder on another disk"):
            yield folder
        upload(folder, url, overwrite=overwrite)


def _writable(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    scheme = url.partition("://")[0]
    if scheme in _READ_ONLY:
        raise ValueError(
            f"expected a place to write to, got {url}, and {scheme}:// can only be read; name a "
            "directory or a bucket such as s3://bucket/store"
        )
    try:
        system, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise ValueError(no_driver(url, error)) from None
    except ValueError as error:
        raise ValueError(f"expected a URL that fsspec can open, got {url} ({error})") from None
    return system, root.rstrip("/")


def _make_room(system: Any, root: str, *, url: str, overwrite: bool) -> None:
    """Remove a store that is replaced, or what an interrupted upload left."""
    if not system.exists(root):
        return
    system.invalidate_cache(root)
    inside = {path.rstrip("/").rsplit("/", 1)[-1] for path in system.ls(root, detail=False)}
    if inside - {MANIFEST, *_OURS} or (MANIFEST in inside and not overwrite):
        raise _taken(url)
    for name in (MANIFEST, *_OURS):
        if name in inside:
            system.rm(f"{root}/{name}", recursive=True)


def _taken(url: str) -> FileExistsError:
    return FileExistsError(
        f"{url} holds files already; name another place, or pass --overwrite if they are a store"
    )
