"""What the values of a matrix are, told by their structure, never by their range alone.

Counts are whole. After normalisation every cell adds up to the same total, its depth, before the
logarithm. Without some genes the totals differ, but a cell's values are still multiples of its
smallest, which was a count of 1. What shows none of this may be corrected counts, or logs of them.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store.disk.csr import row_sums

Form = Literal["counts", "log", "linear", "fractions", "mixed", "negative", "undefined"]

# Counts that went through float32 arithmetic, such as expm1(log1p(count)).
_WHOLE, _WHOLE_RELATIVE = 1e-3, 1e-6
_SAME = 1e-3  # spread of totals that rounding alone explains
_ALIKE = 0.05  # spread of totals from which only rare genes are missing
_FEW_CELLS = 10  # whose totals may be alike by chance
_STEP = 0.05  # how far a multiple may be from whole; float16 values up to ten times the smallest
_MOST_STEPS = 10
_FEW_STEPS = 20
_FEW_VALUES = 5  # of a cell
_LARGEST_EXPONENT = 500.0


class Values(NamedTuple):
    """What the values of a matrix are.

    Attributes:
        form: "log" is log(1 + x), "linear" is normalised but not logged, "fractions" is what shows
            no structure, "mixed" is counts in some cells and fractions in others, "negative" is
            scaled values or residuals, "undefined" is NaN or infinite.
        base: Of the logarithm.
        depth: What each cell adds up to before the logarithm; None: cells differ.
        least: The smallest total of a cell before the logarithm, of those looked at.
        largest: The largest; of counts, the largest count.
        exact: Whether totals agree as far as float32 goes; else rare genes are missing.
        scaled: Whether counts were divided by a cell's size; False: logs of the counts themselves.
        one_count: What one count became before the logarithm, of a cell in the middle; 0: unknown.
        told_by: Column of the cells' counts that tells the depth of cells without some genes.
        example: One of the values, for messages.
    """

    form: Form
    base: float = np.e
    depth: float | None = None
    least: float = 0.0
    largest: float = 0.0
    exact: bool = False
    scaled: bool = True
    one_count: float = 0.0
    told_by: str | None = None
    example: float = 0.0


def look(rows: sp.csr_matrix) -> Values:
    """What the values of these cells are.

    Args:
        rows: Whole cells over all genes, spread over the matrix, (cells, genes). A gene that occurs
            several times in a cell has the sum of its values.
    """
    if are_counts(rows.data):
        return Values("counts", largest=float(rows.data.max(initial=0)))
    rows = _tidy(rows)
    data = rows.data
    if not np.isfinite(data).all():
        return Values("undefined", example=float(data[~np.isfinite(data)][0]))
    if are_counts(data):  # halves of a gene that comes twice
        return Values("counts", largest=float(data.max(initial=0)))
    if data.min() < 0:
        return Values("negative", example=float(data.min()))
    example = float(data[~whole(data)][0])
    return _normalised(rows)._replace(example=example)


def are_whole(data: NDArray[Any]) -> bool:
    """Whether all values are whole numbers, but for rounding."""
    return bool(whole(data).all())


def whole(data: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values are whole numbers, but for rounding."""
    allowed = np.minimum(_WHOLE + _WHOLE_RELATIVE * np.abs(data), 0.1)
    with np.errstate(invalid="ignore"):  # infinity is not whole
        near: NDArray[np.bool_] = np.abs(data - np.rint(data)) <= allowed
    return near


def are_counts(data: NDArray[Any]) -> bool:
    """Whether all values are counts, but for rounding."""
    with np.errstate(invalid="ignore"):
        exact = np.array_equal(data.astype(np.uint32), data)  # five times faster, and usual
    return exact or (are_whole(data) and not (data < -_WHOLE).any())


def linear(data: NDArray[np.float64], *, base: float) -> NDArray[np.float64]:
    """Values before log(1 + x) to this base."""
    return np.expm1(data if base == np.e else data * np.log(base))


def totals(rows: sp.csr_matrix, data: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of each cell with these values at the places of its own, (cells,)."""
    return row_sums(sp.csr_matrix((data, rows.indices, rows.indptr), shape=rows.shape, copy=False))


def one_counts(rows: sp.csr_matrix, *, values: Values) -> NDArray[np.float64]:
    """What one count became in each cell, if its smallest value was one; 0 for an empty cell."""
    rows = sp.csr_matrix(rows, dtype=np.float64, copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    data = linear(rows.data, base=values.base) if values.form == "log" else rows.data
    least = np.zeros(rows.shape[0])
    full = np.diff(rows.indptr) > 0
    if full.any():
        least[full] = np.minimum.reduceat(data, rows.indptr[:-1][full])
    return least


def rounded(depth: float) -> float:
    """A depth, as a power of ten if it is one but for rounding."""
    return _rounded(depth, spread=0.0)


def _tidy(rows: sp.csr_matrix) -> sp.csr_matrix:
    """A copy in float64 with each gene once, zeros and empty cells left out."""
    result = sp.csr_matrix(rows, dtype=np.float64, copy=True)
    result.sum_duplicates()
    result.eliminate_zeros()
    return result[np.diff(result.indptr) > 0]


def _normalised(rows: sp.csr_matrix) -> Values:
    """Logs or normalised values if cells agree in their totals or are in steps, else fractions."""
    if _are_mixed(rows):
        return Values("mixed")
    found = [_Candidate(form, base, *_undone(rows, form, base)) for form, base in _forms(rows)]
    found.sort(key=lambda one: one.spread)
    best = found[0]
    in_steps = [one for one in found if one.in_steps]
    if len(best.sums) > 1 and best.spread <= _SAME:
        return best.values(depth=True)
    if in_steps:
        best = in_steps[0]
        alike = best.spread <= _ALIKE and len(best.sums) >= _FEW_CELLS
        return best.values(depth=alike and not best.whole)
    clear = len(found) == 1 or found[1].spread > 2 * best.spread
    # Sums of anything smooth are alike; before a logarithm they are so for a reason.
    alike = best.spread <= _ALIKE and clear and len(best.sums) >= _FEW_CELLS
    if alike and best.form == "log":
        return best.values(depth=True)
    natural = next((one for one in found if one.base == np.e and one.form == "log"), None)
    sums = np.array([np.inf]) if natural is None else natural.sums
    return Values("fractions", least=float(sums.min()), largest=float(sums.max()))


def _are_mixed(rows: sp.csr_matrix) -> bool:
    """Whether some cells hold counts alone and the others hardly any.

    Corrected counts are not so: a method that leaves cells alone leaves most values alone.
    """
    lengths = np.diff(rows.indptr)
    share = np.add.reduceat(whole(rows.data).astype(np.int64), rows.indptr[:-1]) / lengths
    share = share[lengths >= _FEW_VALUES]  # one value may be whole by chance
    return len(share) > 0 and bool(min((share == 1).mean(), (share < 0.5).mean()) > 0.05)


class _Candidate(NamedTuple):
    """Values as they were if this is what was done to them."""

    form: Form
    base: float
    data: NDArray[np.float64]
    sums: NDArray[np.float64]
    least: NDArray[np.float64]  # value of each cell
    in_steps: bool

    @property
    def spread(self) -> float:
        """How much the totals differ, as a share of the largest."""
        return float(1 - self.sums.min() / self.sums.max())

    @property
    def whole(self) -> bool:
        return are_whole(self.data)

    def values(self, *, depth: bool) -> Values:
        return Values(
            self.form,
            base=self.base,
            depth=_rounded(float(self.sums.max()), spread=self.spread) if depth else None,
            least=float(self.sums.min()),
            largest=float(self.sums.max()),
            exact=self.spread <= _SAME,
            scaled=not self.whole,
            one_count=float(np.median(self.least)) if self.in_steps else 0.0,
        )


def _forms(rows: sp.csr_matrix) -> list[tuple[Form, float]]:
    largest = float(rows.data.max())
    logs = [base for base in (np.e, 2.0, 10.0) if largest * np.log(base) < _LARGEST_EXPONENT]
    return [*(("log", base) for base in logs), ("linear", np.e)]


def _undone(
    rows: sp.csr_matrix, form: Form, base: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], bool]:
    data = linear(rows.data, base=base) if form == "log" else rows.data
    least = np.minimum.reduceat(data, rows.indptr[:-1])
    in_steps = _are_in_steps(data / np.repeat(least, np.diff(rows.indptr)))
    return data, totals(rows, data), least, in_steps


def _are_in_steps(steps: NDArray[np.float64]) -> bool:
    """Whether nearly all values are multiples of the smallest of their cell."""
    steps = steps[(steps > 1.5) & (steps < _MOST_STEPS)]
    if len(steps) < _FEW_STEPS:
        return False
    return bool((np.abs(steps - np.rint(steps)) < _STEP).mean() > 0.9)


def _rounded(depth: float, *, spread: float) -> float:
    """A power of ten if it is one but for the genes that are missing."""
    power: float = 10.0 ** np.ceil(np.log10(depth) - 0.005)
    missing = 0.005 if spread <= _SAME else _ALIKE
    return power if 1 - missing <= depth / power <= 1.005 else depth
