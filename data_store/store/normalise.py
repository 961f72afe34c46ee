"""Values as they are used: counts checked as they come in, log1p per 10k as they go out."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store.disk.csr import row_sums
from data_store.store.schema import TARGET_SUM

LARGEST_LOG = 9.5  # log1p(10,000) is 9.21; some scales are a little above 10,000


def as_counts(block: sp.csr_matrix, *, where: str) -> sp.csr_matrix:
    """Check that all values are whole and not negative; indices sorted, zeros left out.

    A gene that occurs several times in a cell gets the sum of its values; the sum is checked.

    Returns:
        CSR with uint16 values, or uint32 when a count needs it.

    Raises:
        ValueError: NaN, negative, fractional or too large values.
    """
    block = _summed(block)
    data = block.data
    with np.errstate(invalid="ignore"):
        whole = data.astype(np.uint32)
    # NaN, negative, fractional and huge values all differ from their unsigned integer.
    if not np.array_equal(whole, data):
        raise ValueError(_what_is_wrong(block, where=where))
    small = whole.astype(np.uint16) if len(whole) == 0 or whole.max() < 65_536 else whole
    return _without_zeros(block, small)


def as_log(block: sp.csr_matrix, *, where: str) -> sp.csr_matrix:
    """Check that all values can be log1p per 10k; indices sorted, zeros left out.

    Raises:
        ValueError: NaN, negative or too large values.
    """
    block = _summed(block)
    data = block.data.astype(np.float32)
    if not np.isfinite(data).all() or (len(data) and data.min() < 0):
        raise ValueError(_what_is_wrong(block, where=where))
    if len(data) and data.max() > LARGEST_LOG:
        raise ValueError(
            f"expected log1p per 10k (at most {np.log1p(TARGET_SUM):.2f}) in {where}, "
            f"got {data.max():.4g}; name the layer that holds counts with --layer"
        )
    largest = _largest_total(block)
    if largest > np.expm1(LARGEST_LOG):
        raise ValueError(
            f"expected log1p per 10k in {where}, got a cell that adds up to {largest:.0f} "
            "before the logarithm; name the layer that holds counts with --layer, "
            "or normalise to 10,000"
        )
    return _without_zeros(block, data)


def looks_like_counts(block: sp.csr_matrix) -> bool:
    """Whether all values are whole."""
    return bool(np.equal(np.floor(block.data), block.data).all())


def looks_like_log(block: sp.csr_matrix, *, rows: bool = True) -> bool:
    """Whether values lie in the range of log1p per 10k, and each cell's in sum.

    Args:
        block: Values.
        rows: Whether its rows are whole cells, so that their sums tell something.
    """
    data = block.data
    if len(data) and not (np.nanmin(data) >= 0 and np.nanmax(data) <= LARGEST_LOG):
        return False
    return not rows or _largest_total(block) <= np.expm1(LARGEST_LOG)


def _largest_total(block: sp.csr_matrix) -> float:
    """The largest sum of a cell's values before the logarithm."""
    counts = np.expm1(block.data.astype(np.float64))
    cells = sp.csr_matrix((counts, block.indices, block.indptr), shape=block.shape, copy=False)
    return float(row_sums(cells).max(initial=0))


def scale(library: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The factor for each cell's counts, (cells,); 0 for a cell without counts."""
    scale: NDArray[np.float64] = np.divide(
        TARGET_SUM, library, out=np.zeros(len(library)), where=library > 0
    )
    return scale


def expression(
    counts: NDArray[Any], *, scale: NDArray[np.float32], repeats: NDArray[np.integer[Any]]
) -> NDArray[np.float32]:
    """log1p(counts / library * 10,000) of the stored values of some cells.

    Args:
        counts: The non-zero values, cell after cell, (nonzero,).
        scale: Of each cell, (cells,).
        repeats: How many values each cell has, (cells,).
    """
    values = np.repeat(scale, repeats)
    values *= counts
    return np.log1p(values, out=values)


def _summed(block: sp.csr_matrix) -> sp.csr_matrix:
    """Indices sorted, each once."""
    if block.has_canonical_format:
        return block
    # Not block.astype, which adds up before it widens.
    wide = (block.data.astype(np.float64), block.indices, block.indptr)
    result = sp.csr_matrix(wide, shape=block.shape, copy=True)
    result.sum_duplicates()
    return result


def _without_zeros(block: sp.csr_matrix, data: NDArray[Any]) -> sp.csr_matrix:
    result = sp.csr_matrix((data, block.indices, block.indptr), shape=block.shape, copy=False)
    result.has_canonical_format = True
    if len(result.data) and not result.data.all():
        result.eliminate_zeros()
    return result


def _what_is_wrong(block: sp.csr_matrix, *, where: str) -> str:
    data = block.data
    if np.isnan(data).any():
        return f"expected numbers in {where}, got NaN; remove these cells or fill them"
    if (data < 0).any():
        return (
            f"expected values of 0 or more in {where}, got {data.min():.4g}; "
            "scaled values cannot be used: name the layer that holds counts with --layer"
        )
    if data.max() >= 2**32:
        return f"expected counts below 2^32 in {where}, got {data.max():.4g}; name another --layer"
    parts = data[data != np.floor(data)]
    part = parts[0]
    # Almost no log is whole; a few fractions among counts do not make them logs.
    if 2 * len(parts) > len(data) and looks_like_log(block):
        return (
            f"expected counts in {where}, got log values such as {part:.4g}; "
            "name the layer that holds counts with --layer, or store log values with --normalised"
        )
    return (
        f"expected whole counts in {where}, got fractions such as {part:.4g}; "
        "round them, or name another --layer"
    )
