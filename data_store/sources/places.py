"""Where sources are: files, folders or lists of files, addresses, or memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from anndata import AnnData

from data_store.sources.download import Download, download, is_address
from data_store.sources.formats.known import format_of, known_endings
from data_store.sources.formats.memory import NAME
from data_store.sources.notes import note
from data_store.store.schema import CELLS, MANIFEST

_FEW = 5  # names in a message


Given: TypeAlias = str | Path | AnnData
"""What a source may be given as."""


class Place(NamedTuple):
    """A local file or directory of cells, and where it was downloaded from."""

    path: Path
    download: Download | None = None
    cells: AnnData | None = None  # in memory, without a file


def find(sources: Sequence[Given], *, sha256: Sequence[str] = ()) -> list[Place]:
    """The files that the sources name; addresses are downloaded.

    Args:
        sources: Files, anndata .zarr directories, folders of either (not what is below them),
            .txt files with one of these per line, addresses such as https://... and s3://..., or
            AnnData in memory.
        sha256: What the files at the addresses must have, in their order; empty means unchecked.

    Raises:
        FileNotFoundError: Nothing is at a path.
        ValueError: A folder or list without cells, or a download that failed.
    """
    named = [one for source in sources for one in _listed(source)]
    addresses = [one for one in named if isinstance(one, str) and is_address(one)]
    if sha256 and len(sha256) != len(addresses):
        raise ValueError(
            f"expected one --sha256 for each address, got {len(sha256)} for {len(addresses)}"
        )
    expected = dict(zip(addresses, sha256, strict=False))
    places: list[Place] = []
    for one in named:
        if isinstance(one, AnnData):
            places.append(Place(path=NAME, cells=one))
        elif is_address(one):
            got = download(one, sha256=expected.get(one))
            places.append(Place(path=got.path, download=got))
        else:
            places += [Place(path=path) for path in _expanded(Path(one))]
    return _once(places)


def _listed(source: Given) -> Sequence[str | AnnData]:
    """The source itself, or the sources in a list."""
    if isinstance(source, AnnData):
        return [source]
    text = str(source)
    is_list = not is_address(text) and Path(text).suffix.lower() == ".txt"
    return _lines(Path(text)) if is_list else [text]


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"expected a list of sources at {path}, found no such file")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise ValueError(f"expected a list of paths in {path}, got no text") from None
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise ValueError(f"expected one path per line in {path}, found none")
    return found


def _expanded(path: Path) -> list[Path]:
    """The path itself, or the files in a folder, by name."""
    if (path / MANIFEST).is_file() and (path / CELLS).is_dir():
        return [path / CELLS]  # one of our stores
    endings = known_endings()
    if not path.is_dir() or path.name.lower().endswith(endings) or format_of(path):
        return [path]
    inside = sorted(child for child in path.iterdir() if not child.name.startswith("."))
    found = [
        child
        for child in inside
        if child.name.lower().endswith(endings) or (child.is_dir() and format_of(child))
    ]
    if not found:
        names = ", ".join(child.name for child in inside[:_FEW]) or "nothing"
        raise ValueError(
            f"expected {', '.join(endings)} in the folder {path}, found {names}; name the files"
        )
    note(f"{path}: {len(found)} sources, {', '.join(child.name for child in found)}")
    return [part for child in found for part in _expanded(child)]


def _once(places: list[Place]) -> list[Place]:
    """Each file once: a folder and a file of it may both be named."""
    distinct = {_identity(place): place for place in reversed(places)}
    if len(distinct) < len(places):
        note(f"{len(places) - len(distinct)} sources were named twice and are read once")
    return [place for place in places if distinct.get(_identity(place)) is place]


def _identity(place: Place) -> Path | int:
    return place.path.resolve() if place.cells is None else id(place.cells)
