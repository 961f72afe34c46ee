"""Rows of obs in order, many read at a time.

Text in HDF5 is found piece by piece, and a read of a few thousand rows takes almost as long as one
of all: name by name, a tenth of an ingest went there.
"""

from collections.abc import Sequence

from data_store.disk.columns import Block, Column
from data_store.sources.source import Source

ROWS = 16_384  # read at once


class ObsAhead:
    """Hands out rows of obs, cell names included, to whoever goes through a source in order."""

    def __init__(self, source: Source, columns: Sequence[Column]) -> None:
        self._source, self._columns = source, list(columns)
        self._first, self._last = 0, 0
        self._block: Block = {}

    def rows(self, start: int, stop: int) -> Block:
        """Rows start to stop, views of what is held."""
        if not self._first <= start <= stop <= self._last:
            last = max(stop, min(start + ROWS, self._source.cells))
            self._block = self._source.obs_block(self._columns, start=start, stop=last)
            self._first, self._last = start, last
        some = slice(start - self._first, stop - self._first)
        return {name: part[some] for name, part in self._block.items()}
