"""Where sources are: files, folders of them, lists of them, addresses on the net."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from data_store.sources.download import Download, download, is_address
from data_store.sources.notes import note
from data_store.store.schema import CELLS, MANIFEST

_ENDINGS = (".h5ad", ".zarr", ".h5")
_ZARR_MARKS = ("zarr.json", ".zgroup")
_FEW = 5  # names in a message


class Place(NamedTuple):
    """A local file or anndata .zarr directory, and where it was downloaded from."""

    path: Path
    download: Download | None = None


def find(sources: Sequence[str | Path], *, sha256: Sequence[str] = ()) -> list[Place]:
    """The files that are meant; addresses are downloaded.

    Args:
        sources: Files, anndata .zarr directories, folders of either (not what is below them),
            .txt files with one of these per line, or addresses such as https://... and s3://...
        sha256: What the files at the addresses must have, in their order; empty means unchecked.

    Raises:
        FileNotFoundError: Nothing is at a path.
        ValueError: A folder or list without cells, or a download that failed.
    """
    texts = list(_listed(sources))
    addresses = [text for text in texts if is_address(text)]
    if sha256 and len(sha256) != len(addresses):
        raise ValueError(
            f"expected one --sha256 for each address, got {len(sha256)} for {len(addresses)}"
        )
    expected = dict(zip(addresses, sha256, strict=False))
    places: list[Place] = []
    for text in texts:
        if is_address(text):
            got = download(text, sha256=expected.get(text))
            places.append(Place(path=got.path, download=got))
        else:
            places += [Place(path=path) for path in _expanded(Path(text))]
    return _once(places)


def _listed(sources: Sequence[str | Path]) -> Iterator[str]:
    """The sources, with lists replaced by what they hold."""
    for source in map(str, sources):
        if is_address(source) or Path(source).suffix.lower() != ".txt":
            yield source
        else:
            yield from _lines(Path(source))


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"expected a list of sources at {path}, found no such file")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise ValueError(f"expected a list of paths in {path}, it is no text") from None
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise ValueError(f"expected one path per line in {path}, found none")
    return found


def _expanded(path: Path) -> list[Path]:
    """The path itself, or what a folder holds, by name."""
    if (path / MANIFEST).is_file() and (path / CELLS).is_dir():
        return [path / CELLS]  # one of our stores
    is_zarr = path.suffix == ".zarr" or any((path / mark).exists() for mark in _ZARR_MARKS)
    if not path.is_dir() or is_zarr:
        return [path]
    inside = sorted(child for child in path.iterdir() if not child.name.startswith("."))
    found = [child for child in inside if child.suffix.lower() in _ENDINGS]
    if not found:
        names = ", ".join(child.name for child in inside[:_FEW]) or "nothing"
        raise ValueError(
            f"expected {', '.join(_ENDINGS)} in the folder {path}, found {names}; name the files"
        )
    note(f"{path}: {len(found)} sources, {', '.join(child.name for child in found)}")
    return [part for child in found for part in _expanded(child)]


def _once(places: list[Place]) -> list[Place]:
    """Each file once: a folder and a file of it may both be named."""
    distinct = {place.path.resolve(): place for place in reversed(places)}
    if len(distinct) < len(places):
        note(f"{len(places) - len(distinct)} sources were named twice and are read once")
    return [place for place in places if distinct.get(place.path.resolve()) is place]
