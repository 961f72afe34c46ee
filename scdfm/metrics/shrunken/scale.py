"""How much of the sum of its singles a combination shows: one scale for a screen.

Genes that a combination perturbs itself say nothing of it, where they count apart.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scdfm.metrics.baselines.units import Array
from scdfm.metrics.shrunken.design import Measured, design, several, without

FEWEST = 3  # combinations whose singles are all measured; with fewer nothing is estimated
_ROWS_AT_ONCE = 256


class Additivity(NamedTuple):
    """A regression of combinations on the sums of their singles."""

    scale: float  # 1 where there are too few
    combinations: NDArray[np.int64]  # rows of the conditions whose singles are all measured
    left: float  # mean square that the scale leaves, over combinations and genes; NaN: too few
    of_singles: float  # mean over combinations of the noise of their sums, before scaling


def additivity(measured: Measured, *, given: float | None = None) -> Additivity:
    """Regress combinations on the sums of their singles, without an intercept.

    Args:
        measured: Training conditions.
        given: The scale, where it is not to be found.
    """
    alone = {c[0]: row for row, c in enumerate(measured.conditions) if len(c) == 1}
    members = design(measured.conditions, tokens=[*alone])
    lengths = np.array([len({*condition}) for condition in measured.conditions])
    of_known = np.asarray(members.sum(axis=1)).ravel() == lengths
    rows = np.flatnonzero(several(measured.conditions) & of_known)
    singles = np.array([*alone.values()], dtype=np.int64)
    both = square = own = 0.0
    if len(rows) < FEWEST:
        return Additivity(1.0, rows, left=np.nan, of_singles=np.nan)
    # Some combinations at a time: all sums together are as large as all changes.
    effects = measured.elsewhere(singles)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[first : first + _ROWS_AT_ONCE]
        total = without(members[some] @ effects, measured.own, rows=some)
        delta = measured.elsewhere(some)
        both += float(np.vdot(total, delta))
        square += float(np.vdot(total, total))
        own += float(np.vdot(delta, delta))
    found = both / square if square > 0 else 1.0
    scale = found if given is None else given
    # Genes that a combination perturbs itself were set to 0: they are no values that it has.
    values = len(rows) * measured.delta.shape[1] - int(np.isin(measured.own.rows, rows).sum())
    left = max(own - 2 * scale * both + scale**2 * square, 0.0) / max(values, 1)
    noise: Array = members[rows] @ measured.noise[singles]
    return Additivity(scale, rows, left=left, of_singles=float(noise.mean()))
