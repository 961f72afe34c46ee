"""The hashes of a directory's files, kept beside them: a flipped bit is an error, not a value.

`manifest.json` of a model or a checkpoint holds the SHA-256 of every other file there. Directories
of an older version have none, and are read as they are.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from scdfm.screen.atomic import sha256

FILE = "manifest.json"
_HASHES = "sha256"


def seal(directory: Path) -> None:
    """Write the hashes of all files in a directory that is complete otherwise.

    A folder in it has hashes of its own.
    """
    files = sorted(path for path in directory.iterdir() if path.is_file() and path.name != FILE)
    (directory / FILE).write_text(_text({path.name: sha256(path) for path in files}))


def require_sealed(directory: Path, *, only: Iterable[str] | None = None, remedy: str) -> None:
    """Make sure that a directory's files are as they were written.

    Args:
        directory: Where they are; one without hashes is not looked at.
        only: Names of the files to look at; none: all that have a hash.
        remedy: What to do about a damaged file.

    Raises:
        ValueError: A file is missing or has other bytes; names it.
    """
    place = directory / FILE
    if not place.is_file():
        return
    require_same(directory, _read(place, remedy=remedy), only=only, remedy=remedy)


def require_same(
    directory: Path, known: Mapping[str, str], *, only: Iterable[str] | None = None, remedy: str
) -> None:
    """Make sure that files have known hashes.

    Args:
        directory: Where they are.
        known: SHA-256 by name, as `FILE` there has them.
        only: Names of the files to look at; none: all that have a hash.
        remedy: What to do about a damaged file.

    Raises:
        ValueError: A file is missing or has other bytes; names it.
    """
    for name in known if only is None else only:
        path = directory / name
        if not path.is_file():
            raise ValueError(f"{directory} is not complete: {name} is missing; {remedy}")
        if name not in known:
            raise ValueError(f"{directory / FILE} is damaged: it has no hash of {name}; {remedy}")
        if sha256(path) != known[name]:
            raise ValueError(
                f"{path} is damaged: its SHA-256 is not the one in {directory / FILE}; {remedy}"
            )


def faults(directory: Path) -> list[tuple[Path, str]]:
    """All files of a directory that are not as they were written, each with what is wrong."""
    place = directory / FILE
    try:
        known = _read(place, remedy="")
    except ValueError:
        return [(place, "damaged")]
    return changed(directory, known)


def changed(directory: Path, known: Mapping[str, str]) -> list[tuple[Path, str]]:
    """Files of a directory that have not the known hashes, each with what is wrong."""
    found = []
    for name, digest in known.items():
        path = directory / name
        if not path.is_file():
            found.append((path, "missing"))
        elif sha256(path) != digest:
            found.append((path, "its bytes changed"))
    return found


def _read(place: Path, *, remedy: str) -> dict[str, str]:
    try:
        text = place.read_text()
        known: dict[str, str] = json.loads(text)[_HASHES]
        # Any other byte than what `seal` writes is damage, also one that JSON does not mind.
        whole = text == _text(known)
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise ValueError(f"{place} is damaged; {remedy}")
    return known


def _text(hashes: dict[str, str]) -> str:
    own = hashlib.sha256(json.dumps(hashes).encode()).hexdigest()
    return json.dumps({_HASHES: hashes, "of_these": own}, indent=1)
