"""A base and the flow together: one mean change for a unit, and cells around it.

With x_0 the control cells that some canonical cells start from, x_1 where the flow takes them,
both unclamped, and the weights alpha and beta:

    delta_flow = mean(x_1 - x_0)
    delta*     = delta_base + alpha (delta_flow - delta_base)
    y          = x_0 + (1 - beta) delta_base + beta (x_1 - x_0)
    x          = max(0, y + s)

with s of each gene such that x, over the canonical cells, differs from x_0 by delta* on average.
Any other cell of the unit gets the same s. So a cell does not depend on which others are asked
for, and the mean of many is that of all controls plus delta*. Where a gene of x_1 varies less by
itself than against x_0, as for paths from noise, the mean of all controls stands for that of x_0.

Source: SCIENCE.md, section 8.2. There the canonical cells are all controls of a context.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeInt
from scipy.stats import t

from scdfm.metrics.shrunken import shift_to

Array = NDArray[np.float64]
Expression = NDArray[np.float32]

LEVEL = 0.95  # of the interval of a weight
FEWEST = 3  # units that an interval takes
ROUNDING = 1e-5  # log1p, and of a change: what float32 and a solver's steps leave


class FlowWeight(BaseModel, frozen=True, extra="forbid"):
    """How much the flow counts beside the base in a mean, and how that was found."""

    flow: float = Field(ge=0, le=1)  # alpha
    units: NonNegativeInt = 0  # validation units that it comes from
    interval: tuple[float, float] | None = None  # 95 %, by the choice of units
    guess: bool = False  # these units ask another question than test units do
    given: bool = False  # by the settings


class Calibrated(NamedTuple):
    """What the canonical cells of a unit tell, over some genes."""

    change: Array  # delta*, (genes,)
    noise: Array  # variance of delta* by the choice of canonical cells, (genes,)
    base: Array  # delta_base, (genes,)
    shift: Array  # s, (genes,)

    def on(self, genes: NDArray[np.int64]) -> "Calibrated":
        """The same on some of the genes."""
        return Calibrated(*(values[genes] for values in self))


class Evidence(NamedTuple):
    """What units say of the weight: sums over genes of each, not finite where its flow is not."""

    both: Array  # (real - base)(flow - base), (units,)
    square: Array  # (flow - base)^2, (units,)


def settled(flow: Array, *, base: Array) -> Array:
    """The flow's changes, (units, genes), and the base's own where they differ by rounding alone.

    An untrained flow whose first guess is the base differs from it by the rounding of float32, of
    which no weight could be found.
    """
    apart = np.abs(flow - base).max(axis=1, keepdims=True)
    same = apart <= ROUNDING * (1 + np.abs(base).max(axis=1, keepdims=True))
    either: Array = np.where(same, base, flow)
    return either


def evidence(real: Array, *, base: Array, flow: Array) -> Evidence:
    """Compare measured changes with base and flow.

    Args:
        real: Measured mean changes, (units, genes).
        base: Changes by a base that was fitted without these units, (units, genes).
        flow: Changes by the flow, (units, genes).
    """
    with np.errstate(invalid="ignore", over="ignore"):
        apart = flow - base
        return Evidence(((real - base) * apart).sum(axis=1), np.square(apart).sum(axis=1))


def weigh(units: Evidence, *, guess: bool = False) -> FlowWeight:
    """The weight of the flow that is best on some units, drawn towards the base when they are few.

    With r = sum (real - base)(flow - base) / sum (flow - base)^2 over n units and their genes,

        alpha = n / (n + 2) * r * max(0, 1 - (spread of r)^2 / r^2),    between 0 and 1.

    The spread is the jackknife's over units (of one there is none): a share that the next unit may
    overturn is worth less. The interval is n / (n + 2) times that of r, with Student's t. With no
    unit, or a flow that is the base, the weight is 0.

    Args:
        units: All that is known.
        guess: Marks the result.

    Source: SCIENCE.md, section 8.2, without the last factor.
    """
    known = np.isfinite(units.square)
    both, square = units.both[known], units.square[known]
    count = len(both)
    if not square.sum() > 0:
        return FlowWeight(flow=0.0, units=count, guess=guess)
    best, few = float(both.sum() / square.sum()), count / (count + 2)
    interval, trust = None, 1.0
    without = square.sum() - square
    if count > 1 and (without > 0).all():
        others = (both.sum() - both) / without
        spread = np.sqrt((count - 1) / count * np.square(others - others.mean()).sum())
        trust = max(0.0, 1 - (spread / best) ** 2) if best else 0.0
        if count >= FEWEST:
            wide = t.ppf((1 + LEVEL) / 2, count - 1) * spread
            interval = (_share(few * (best - wide)), _share(few * (best + wide)))
    return FlowWeight(flow=_share(few * best * trust), units=count, interval=interval, guess=guess)


def weights_by_others(units: Evidence) -> Array:
    """The weight of the flow for each unit, as all other units find it, (units,).

    What a unit says of its own weight flatters every flow on that unit: a flow that has learnt
    nothing draws the base to no change where that happens to help. A single unit has no others; it
    gets n / (n + 2) of a flow that is right.
    """
    count = len(units.both)
    if count == 1:
        return np.array([1 / 3])
    others = (Evidence(*(np.delete(values, one) for values in units)) for one in range(count))
    return np.array([weigh(these).flow for these in others])


def _share(value: float) -> float:
    return max(0.0, min(1.0, float(value)))  # never -0.0, which would be shown


def combined_change(base: Array, flow: Array, *, alpha: float | Array) -> Array:
    """delta*, (..., genes); alpha is one number, or one that broadcasts."""
    change: Array = base + alpha * (flow - base)
    return change


def calibrate(
    end: Expression,
    start: Expression,
    *,
    base: Array,
    control: Array,
    alpha: float,
    beta: float,
    clamp: bool,
) -> Calibrated:
    """Set the mean of a unit on its canonical cells. Each gene is a matter of its own.

    Args:
        end: x_1, unclamped, (cells, genes).
        start: x_0, (cells, genes).
        base: delta_base, (genes,).
        control: Mean of all controls of the context, (genes,).
        alpha: Weight of the flow in the mean.
        beta: Weight of the flow in the shape.
        clamp: Whether expression below 0 becomes 0.
    """
    origin, noise = _origin(end, start, control=control)
    change = combined_change(base, end.mean(axis=0, dtype=np.float64) - origin, alpha=alpha)
    cells = _around(end, start, base=base, beta=beta)
    wanted = _origin(cells, start, control=control)[0] + change
    shift = shift_to(cells, wanted) if clamp else wanted - cells.mean(axis=0, dtype=np.float64)
    return Calibrated(change=change, noise=alpha**2 * noise, base=base, shift=shift)


def finish(
    end: Expression, start: Expression, unit: Calibrated, *, beta: float, clamp: bool
) -> Expression:
    """Cells of a calibrated unit, (cells, genes): x_1 and x_0 as in `calibrate`."""
    moved = _around(end, start, base=unit.base, beta=beta) + unit.shift.astype(np.float32)
    return np.maximum(moved, 0, out=moved) if clamp else moved


def _around(end: Expression, start: Expression, *, base: Array, beta: float) -> Expression:
    """y, (cells, genes)."""
    fixed = ((1 - beta) * base).astype(np.float32)
    cells: Expression = (1 - np.float32(beta)) * start + np.float32(beta) * end + fixed
    return cells


def _origin(cells: Expression, start: Expression, *, control: Array) -> tuple[Array, Array]:
    """The mean that a change of cells counts from, and the change's variance, (genes,) each.

    The mean of their own starts, or of all controls where cells do not follow their starts.
    """
    alone = cells.var(axis=0, dtype=np.float64)
    apart = (cells - start).var(axis=0, dtype=np.float64)
    follows = apart <= alone
    count = len(cells)
    noise: Array = np.where(follows, apart, alone) / max(1, count - 1)
    return np.where(follows, start.mean(axis=0, dtype=np.float64), control), noise
