"""What a format of cells must say about itself: to be found, named in errors and opened."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_store.sources.source import Source

EXPRESSION = "Gene Expression"  # the type of feature that 10x calls genes


@dataclass(frozen=True)
class Reading:
    """What a format is told besides the path; most need none of it."""

    modality: str | None = None  # of a file that holds several
    feature_types: tuple[str, ...] = (EXPRESSION,)  # of 10x features that are kept
    # Makes a folder for what must be unpacked, and removes it; None means the system's place.
    scratch: Callable[[], AbstractContextManager[Path]] | None = None


@dataclass(frozen=True)
class Format:
    """A kind of file, or of directory, with cells in it."""

    title: str  # as a list of what may be given says it, such as "an .h5ad file"
    endings: tuple[str, ...]  # of the names that a folder is searched for, lower case
    holds: Callable[[Path], bool]  # whether what is there is of this kind, told by its content
    open: "Callable[[Path, Reading], Source]"
