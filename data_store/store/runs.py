"""Rows that are wanted as runs of rows that are read together."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from data_store.disk.columns import Block

_ROWS_AT_ONCE = 4_096  # decoded together, at most
_NEAR = 64  # rows: nearer ones share a chunk, mostly


def in_parts(runs: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """The same rows in parts of bounded size."""
    part: list[tuple[int, int]] = []
    room = _ROWS_AT_ONCE
    for start, stop in runs:
        while start < stop:
            cut = min(stop, start + room)
            part.append((start, cut))
            room -= cut - start
            start = cut
            if not room:
                yield part
                part, room = [], _ROWS_AT_ONCE
    if part:
        yield part


def near_runs(
    rows: NDArray[np.int64],
) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
    """Runs of rows (start, stop) around near ones, and where the rows lie in these."""
    if not len(rows):
        return [(0, 0)], rows
    # Rows that share a chunk are read as one run, at least mostly.
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > _NEAR) + 1)
    runs = [(int(part[0]), int(part[-1]) + 1) for part in parts]
    begins = np.cumsum([0, *(stop - start for start, stop in runs)])
    wanted = [part - part[0] + begin for part, begin in zip(parts, begins, strict=False)]
    return runs, np.concatenate(wanted)


def among(block: Block, rows: NDArray[np.int64]) -> Block:
    """Some rows of a block; all without a copy."""
    held = len(next(iter(block.values())))
    return block if held == len(rows) else {key: part[rows] for key, part in block.items()}
