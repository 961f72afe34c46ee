"""What a format of cells must say about itself: to be found, named in errors and opened."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_store.sources.source import Source


@dataclass(frozen=True)
class Format:
    """A kind of file, or of directory, with cells in it."""

    title: str  # as a list of what may be given says it, such as "an .h5ad file"
    endings: tuple[str, ...]  # of the names that a folder is searched for, lower case
    holds: Callable[[Path], bool]  # whether what is there is of this kind, told by its content
    open: "Callable[[Path], Source]"
