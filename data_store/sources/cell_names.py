"""Names of cells: unique within a source, made distinct between sources."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_store.sources.notes import note
from data_store.sources.source import Source

_ROWS = 65_536


def distinct(sources: Sequence[Source]) -> list[Source]:
    """The sources; where they share cell names, each name ends in its file's or folder's name.

    Raises:
        ValueError: A name occurs twice in one source.
    """
    hashes = []
    for source in sources:
        own = name_hashes(source)
        own.sort()
        if (own[1:] == own[:-1]).any():
            _refuse_repeats(source)
        hashes.append(own)
    if len(sources) == 1:
        return list(sources)
    every = np.concatenate(hashes)
    every.sort()
    shared = int((every[1:] == every[:-1]).sum())
    if not shared:
        return list(sources)
    marks = _marks(sources)
    note(
        f"cell names: {shared} occur in several sources; all got the name of their file or folder, "
        f"as in {_name(sources[0], 0)}-{marks[0]}"
    )
    return [replace(s, suffix=f"-{mark}") for s, mark in zip(sources, marks, strict=True)]


def name_hashes(source: Source) -> NDArray[np.uint64]:
    """A 64-bit hash of every cell's name: eight bytes per cell."""
    hashes = np.empty(source.cells, dtype=np.uint64)
    for start, names in name_blocks(source):
        hashed = pd.util.hash_array(names.astype(object), categorize=False)
        hashes[start : start + len(names)] = hashed
    return hashes


def name_blocks(source: Source) -> Iterator[tuple[int, NDArray[np.bytes_]]]:
    """All cell names in order as (first cell, UTF-8 bytes)."""
    for start in range(0, source.cells, _ROWS):
        yield start, source.cell_names(start, min(start + _ROWS, source.cells))


def _refuse_repeats(source: Source) -> None:
    """Look at the names whose hashes are equal."""
    hashes = name_hashes(source)
    order = np.argsort(hashes, kind="stable")
    twice = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
    for place in twice.tolist():
        name, other = (_name(source, int(order[k])) for k in (place, place + 1))
        if name == other:  # and not only the hashes
            # A folder of text files names its cells in one of them.
            in_text = source.root is None and source.files
            where = source.files[-1] if in_text else source.path
            remedy = (
                "give every line a name of its own"
                if in_text
                else "call obs_names_make_unique() and write the file again"
            )
            raise ValueError(
                f"expected unique cell names in {where}, got {len(twice)} more than once, first "
                f"{name!r}; {remedy}"
            )


def _marks(sources: Sequence[Source]) -> list[str]:
    """What tells the sources apart: names of their files, or of the folders where these differ."""
    paths = [source.path.resolve() for source in sources]
    names = [(path.stem, *(folder.name for folder in path.parents)) for path in paths]
    for level in zip(*names, strict=False):
        if len(set(level)) == len(level) and all(level):
            return list(level)
    return [f"{number}_{path.stem}" for number, path in enumerate(paths)]


def _name(source: Source, cell: int) -> str:
    name: bytes = source.cell_names(cell, cell + 1).tolist()[0]
    return name.decode()
