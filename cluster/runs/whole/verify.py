"""Whether models, training states and plans below a path are as they were written."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cluster.runs.directory import MANIFEST, RunDirectory
from cluster.runs.find_model import RUN
from cluster.runs.parts.plan_files import plan_faults
from cluster.storage.mirror import INDEX, mirror_of
from cluster.storage.places import address_of
from cluster.storage.storage import storage_at
from scdfm.flow.checkpoint import OPTIMISER, PROGRESS
from scdfm.flow.files import CARD, ENSEMBLE, WEIGHTS
from scdfm.screen import sealed
from scdfm.screen.progress import OnProgress, counted

# Of a model, and of a training state: one alone may be the file that is missing.
_MARKS = (CARD, WEIGHTS, ENSEMBLE, PROGRESS, OPTIMISER)

Faults = list[tuple[Path, str]]


class Verified(NamedTuple):
    """What was read again.

    Attributes:
        directories: Models and training states that have hashes.
        unsealed: Those without, which an older version wrote.
        faults: Path below the directory that was named, and what is wrong with it; also of files
            of plans.
    """

    directories: int
    unsealed: int
    faults: list[tuple[str, str]]


def verify(path: Path, *, progress: OnProgress | None = None) -> Verified:
    """Read all models, training states and plans at and below a path again.

    Args:
        path: A run, a sweep or a model; of one in an object store, the folder that mirrors it.
        progress: Receives the number of directories read.

    Raises:
        ValueError: There is no model and no state yet, or another part of what is in an object
            store is damaged.
    """
    lost = list(_lost_on_the_way(path))
    marks = (file for name in _MARKS for file in path.rglob(name))
    runs = sorted(file.parent for file in path.rglob(RUN))
    found = sorted({file.parent for file in marks})
    if not found:
        raise ValueError(f"{path} has neither a model nor a training state yet; nothing to verify")
    known = [one for one in found if (one / sealed.FILE).is_file()]
    faults = [
        (str(at.relative_to(path)), problem)
        for one in counted(known, total=len(known), unit="directories", progress=progress)
        for at, problem in _unless_replaced(one / sealed.FILE, partial(sealed.faults, one))
    ]
    faults += [
        (str(at.relative_to(path)), problem)
        for run in runs
        for at, problem in _unless_replaced(run / MANIFEST, partial(_of_plan, run))
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


def _of_plan(run: Path) -> Faults:
    try:
        return plan_faults(run, RunDirectory(run).manifest)
    except ValueError:
        return [(run / MANIFEST, "damaged")]


def _unless_replaced(hashes: Path, look: Callable[[], Faults]) -> Faults:
    """What is wrong with a directory; nothing with one that a training removes meanwhile.

    Args:
        hashes: The file that holds them.
        look: Compares them.
    """
    with suppress(FileNotFoundError):
        while True:
            before = hashes.read_bytes()
            found = look()
            # A training may have put a newer model or plan there between two looks.
            if not found or hashes.read_bytes() == before:
                return found
    return []
