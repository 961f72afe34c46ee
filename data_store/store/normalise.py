"""Values as they are used: counts checked as they come in, log1p per 10k as they go out."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store.store import scales
from data_store.store.scales import Values
from data_store.store.schema import TARGET_SUM

LARGEST_LOG = 9.5  # log1p(10,000) is 9.21; some scales are a little above 10,000
AS_GIVEN = Values("log")  # of unknown depth
_SAME_DEPTH = 0.02  # a depth so near to 10,000 is kept


def as_counts(block: sp.csr_matrix, *, where: str, rounded: bool = False) -> sp.csr_matrix:
    """Check that all values are whole and not negative; indices sorted, zeros left out.

    A gene that occurs several times in a cell gets the sum of its values; the sum is checked.

    Args:
        block: Values.
        where: They come from, for messages.
        rounded: Round fractions, instead of refusing them.

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
        whole = _rounded(block, where=where, fractions=rounded)
    small = whole.astype(np.uint16) if len(whole) == 0 or whole.max() < 65_536 else whole
    return _without_zeros(block, small)


def _rounded(block: sp.csr_matrix, *, where: str, fractions: bool) -> NDArray[np.uint32]:
    """The nearest counts: of values that are whole but for rounding, or of all fractions."""
    data = block.data
    near = np.rint(data)
    with np.errstate(invalid="ignore"):
        fit = bool(((near >= 0) & (near < 2**32)).all())
        meant = scales.are_whole(data) or (fractions and not (data < 0).any())
    if not (fit and meant):
        raise ValueError(_what_is_wrong(block, where=where))
    counts: NDArray[np.uint32] = near.astype(np.uint32)
    return counts


def as_log(block: sp.csr_matrix, *, where: str, values: Values = AS_GIVEN) -> sp.csr_matrix:
    """Check that all values are of this kind, make them log1p per 10k; zeros left out.

    A depth of about 10,000 is kept as it is; with any other, values are scaled to 10,000 before the
    logarithm, which is exact since all cells have this depth.

    Args:
        block: Values of whole cells.
        where: They come from, for messages.
        values: What they are; without depth they are kept as log1p per 10k.

    Raises:
        ValueError: NaN, negative or too large values, or a cell of another depth.
    """
    block = _summed(block)
    data = block.data.astype(np.float32)
    if not np.isfinite(data).all() or (len(data) and data.min() < 0):
        raise ValueError(_what_is_wrong(block, where=where))
    if values.depth is None:
        _refuse_too_large(block, where=where)
        return _without_zeros(block, data)
    wide = block.data.astype(np.float64)
    with np.errstate(over="ignore"):
        before = scales.linear(wide, base=values.base) if values.form == "log" else wide
    _refuse_other_depths(scales.totals(block, before), where=where, values=values)
    if not is_rescaled(values):
        return _without_zeros(block, data)
    before *= TARGET_SUM / values.depth
    return _without_zeros(block, np.log1p(before, out=before).astype(np.float32))


def is_rescaled(values: Values) -> bool:
    """Whether values must be changed to be log1p per 10k."""
    if values.form != "log" or values.base != np.e:
        return values.form in ("log", "linear")
    return values.depth is not None and abs(values.depth / TARGET_SUM - 1) > _SAME_DEPTH


def may_be_log(values: Values) -> bool:
    """Whether values of unknown depth can be log1p per 10k, of genes of which some are missing."""
    return bool(values.largest <= np.expm1(LARGEST_LOG))


def _refuse_too_large(block: sp.csr_matrix, *, where: str) -> None:
    if not block.nnz:
        return
    largest = float(block.data.max())
    if largest > LARGEST_LOG:
        raise ValueError(
            f"expected log1p per 10k (at most {np.log1p(TARGET_SUM):.2f}) in {where}, "
            f"got {largest:.4g}; name the layer that holds counts with --layer"
        )
    wide = np.expm1(block.data.astype(np.float64))
    total = float(scales.totals(block, wide).max())
    if total > np.expm1(LARGEST_LOG):
        raise ValueError(
            f"expected log1p per 10k in {where}, got a cell that adds up to {total:.0f} "
            "before the logarithm; name the layer that holds counts with --layer, "
            "or normalise to 10,000"
        )


def _refuse_other_depths(totals: NDArray[np.float64], *, where: str, values: Values) -> None:
    assert values.depth is not None
    low, high = (0.98, 1.02) if values.exact else (0.5, 1.05)
    if values.told_by is not None:
        low, high = 0.0, 1.02  # any number of genes may be missing
    share = totals / values.depth
    # Written as a negation so that NaN is another depth. A cell may have no counts at all.
    other = ~((share >= low) & (share <= high)) & (totals != 0)
    if other.any():
        most = "" if values.told_by is None else "at most "
        before = "before the logarithm" if values.form == "log" else "as normalised"
        raise ValueError(
            f"expected cells that add up to {most}{values.depth:,.0f} {before}, as those at other "
            f"places do, got one that adds up to {totals[other][0]:,.0f} in {where}; write cells "
            "of each depth to a file of their own and name all files, or name a layer of counts "
            "with --layer"
        )


def looks_like_counts(block: sp.csr_matrix) -> bool:
    """Whether all values are whole, but for rounding."""
    return scales.are_whole(block.data)


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
    part = data[~scales.whole(data)][0]
    return (
        f"expected whole counts in {where}, got fractions such as {part:.4g}; if these are "
        "corrected counts (SoupX, CellBender), --round rounds them, else name another --layer"
    )
