"""The depth of normalised values of which genes were left out, told by the cells' own counts.

One count became depth / counts of the cell before the logarithm. Where genes are missing, cells no
longer add up to the depth; but what one count became, times all counts of the cell as an obs column
holds them, is the depth in every cell. Nothing else gives one number in cells of many sizes.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store.sources.source import Source
from data_store.store import scales
from data_store.store.scales import Values

_ROWS = 262_144
_EXACT = 0.01  # float16 rounds more
_MOST = 0.95  # of the cells agree
_ONES = 0.5  # of the cells have a gene with one count
_DIFFERENT = 1.1  # largest cells over smallest ones: of equal cells any column tells a depth
_FEW_CELLS = 10


def is_hidden(values: Values) -> bool:
    """Whether values were normalised to a depth that their sums do not show."""
    known = values.form in ("log", "linear") and values.one_count > 0
    return known and values.scaled and values.depth is None


def told(
    values: Values,
    source: Source,
    *,
    rows: sp.csr_matrix,
    at: NDArray[np.int64],
    columns: Sequence[str],
) -> Values:
    """The values, with their depth if one of these obs columns tells it.

    Args:
        values: What the rows hold.
        source: They are of.
        rows: Some cells, (cells, genes).
        at: Which, (cells,).
        columns: Usual names of a cell's counts.
    """
    one_counts = scales.one_counts(rows, values=values)
    for name in columns:
        column = source.columns.get(name)
        if column is None or "" not in column.dtypes or column.dtypes[""].kind not in "iuf":
            continue
        depth = _depth(one_counts, _counts(source, name, at=at))
        if depth is not None and values.largest <= depth * (1 + _EXACT):
            return values._replace(depth=depth, told_by=name)
    return values


def _counts(source: Source, name: str, *, at: NDArray[np.int64]) -> NDArray[np.float64]:
    column = source.columns[name]
    found = np.zeros(len(at))
    for start in range(0, source.cells, _ROWS):
        here = (at >= start) & (at < start + _ROWS)
        if here.any():
            stop = min(start + _ROWS, source.cells)
            block = source.obs_block([column], start=start, stop=stop)[column.key("")]
            found[here] = np.asarray(block, dtype=np.float64)[at[here] - start]
    return found


def _depth(one_counts: NDArray[np.float64], sizes: NDArray[np.float64]) -> float | None:
    """What one count times the cell's counts is in nearly all cells; None if they disagree."""
    seen = (one_counts > 0) & np.isfinite(sizes) & (sizes > 0)
    one_counts, sizes = one_counts[seen], sizes[seen]
    if len(sizes) < _FEW_CELLS or not scales.are_whole(sizes):
        return None
    low, high = np.quantile(sizes, [0.05, 0.95])
    if high < _DIFFERENT * low:
        return None
    depths = one_counts * sizes
    depth = float(np.median(depths))
    counts = depths / depth  # of the cell's smallest value
    agree = (np.rint(counts) > 0) & (np.abs(counts - np.rint(counts)) <= _EXACT * counts)
    if agree.mean() < _MOST or (agree & (np.rint(counts) == 1)).mean() < _ONES:
        return None
    return scales.rounded(depth)
