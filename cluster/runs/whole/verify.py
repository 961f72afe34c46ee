"""Whether models and training states of a run, a sweep or a model are as they were written."""

from pathlib import Path
from typing import NamedTuple

from scdfm.flow.checkpoint import PROGRESS
from scdfm.flow.files import CARD
from scdfm.screen import sealed
from scdfm.screen.progress import OnProgress, counted


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
        path: A run, a sweep or a model.
        progress: Receives the number of directories read.

    Raises:
        ValueError: There is none yet.
    """
    marks = (file for name in (CARD, PROGRESS) for file in path.rglob(name))
    found = sorted({file.parent for file in marks})
    if not found:
        raise ValueError(f"{path} has neither a model nor a training state yet; nothing to verify")
    known = [one for one in found if (one / sealed.FILE).is_file()]
    faults = [
        (str(at.relative_to(path)), problem)
        for one in counted(known, total=len(known), unit="directories", progress=progress)
        for at, problem in sealed.faults(one)
    ]
    return Verified(len(known), len(found) - len(known), faults)
