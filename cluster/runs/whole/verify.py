"""Whether models and training states of a run, a sweep or a model are as they were written."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cluster.storage.mirror import INDEX, mirror_of
from cluster.storage.places import address_of
from cluster.storage.storage import storage_at
from scdfm.flow.checkpoint import OPTIMISER, PROGRESS
from scdfm.flow.files import CARD, ENSEMBLE, WEIGHTS
from scdfm.screen import sealed
from scdfm.screen.progress import OnProgress, counted

# Of a model, and of a training state: one alone may be the file that is missing.
_MARKS = (CARD, WEIGHTS, ENSEMBLE, PROGRESS, OPTIMISER)


class Verified(NamedTuple):
    """What was read again.

    Attributes:
        directories: Models and training states that have hashes.
        unsealed: Those without, which an older version wrote.
        faults: Path below the directory that was named, and what is wrong with it.
    """

    directories: int
    unsealed: int
    faults: list[tuple[str, str]]


def verify(path: Path, *, progress: OnProgress | None = None) -> Verified:
    """Read all models and training states at and below a path again.

    Args:
        path: A run, a sweep or a model; of one in an object store, the folder that mirrors it.
        progress: Receives the number of directories read.

    Raises:
        ValueError: There is none yet, or another part of one in an object store is damaged.
    """
    lost = list(_lost_on_the_way(path))
    marks = (file for name in _MARKS for file in path.rglob(name))
    found = sorted({file.parent for file in marks})
    if not found:
        raise ValueError(f"{path} has neither a model nor a training state yet; nothing to verify")
    known = [one for one in found if (one / sealed.FILE).is_file()]
    faults = [
        (str(at.relative_to(path)), problem)
        for one in counted(known, total=len(known), unit="directories", progress=progress)
        for at, problem in _faults(one)
    ]
    faults += [(name, "missing") for name in lost if (name, "missing") not in faults]
    return Verified(len(known), len(found) - len(known), faults)


def _lost_on_the_way(path: Path) -> Iterator[str]:
    """Fetch all that lives in an object store, states and inner runs; files that it has lost."""
    address = address_of(path)
    if address is None:
        return
    for name in storage_at(address).names():
        if Path(name).name != INDEX:
            continue
        mirror = mirror_of(f"{address}/{name}".removesuffix(f"/{INDEX}"))
        mirror.fetch()
        for part in mirror.names():
            if not (mirror.folder / part).is_file():
                yield (mirror.folder / part).relative_to(path).as_posix()


def _faults(directory: Path) -> list[tuple[Path, str]]:
    """What is wrong with a directory; nothing with one that a training removes meanwhile."""
    seal = directory / sealed.FILE
    with suppress(FileNotFoundError):
        while True:
            before = seal.read_bytes()
            found = sealed.faults(directory)
            # A training may have put a newer model there between two looks.
            if not found or seal.read_bytes() == before:
                return found
    return []
