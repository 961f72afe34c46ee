"""How sure the tables are: intervals of scores and of differences between rows, and their noise."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cluster.work.evaluation.part import Array, TestPart
from cluster.work.evaluation.record import Difference
from cluster.work.evaluation.rows import Row, Values
from scdfm.metrics import METRICS, Table
from scdfm.metrics.noise import Draws, Interval, drawn_means, fixed_enough, interval
from scdfm.metrics.noise.intervals import by_condition
from scdfm.metrics.table import Score, tabulate, unit_values
from scdfm.screen.randomness import numpy_generator

DRAWS, FEW_DRAWS = 50, 200  # of cells: where conditions are drawn, too, and where they are not
WORK = 3e8  # distances between conditions that a row's draws may take, in values compared


class Certainty(NamedTuple):
    """Values of drawn cells, by row and metric, (draws, units); how many draws; of what."""

    drawn: dict[str, Values]
    draws: int
    few: bool  # conditions are too few to be drawn


def draw_again(rows: Mapping[str, Row], part: TestPart, *, seed: int = 0) -> Certainty:
    """Score every row again on cells drawn with replacement, where metrics read means alone."""
    few = fixed_enough(len(set(part.conditions)))
    units, genes = len(part.units), len(part.genes)
    draws = FEW_DRAWS if few else DRAWS
    # Of one row: a table must not lose its intervals for a row that is kept beside the others.
    if units**2 * genes * draws > WORK:
        return Certainty({}, 0, few)
    again = Draws(
        control={
            context: drawn_means(
                part.control(context),
                draws=draws,
                generator=numpy_generator(seed, "drawn controls", place),
            )
            for place, context in enumerate(sorted(set(part.contexts)))
        },
        real=tuple(
            drawn_means(
                part.real(number),
                draws=draws,
                generator=numpy_generator(seed, "drawn cells", number),
            )
            for number in range(units)
        )
        if few
        else None,
    )
    drawn = {}
    for name, row in rows.items():
        if row.facts.kind == "ceiling":
            continue
        metrics = [metric for metric in row.values if _reads_means(metric)]
        found = [unit_values(some, metrics=metrics) for some in again.of(row.evidence)]
        drawn[name] = {metric: np.stack([one[metric] for one in found]) for metric in metrics}
    return Certainty(drawn, draws, few)


def _reads_means(name: str) -> bool:
    metric = METRICS[name]
    return metric.of_cells is None and not metric.pooled and "predicted_cells" not in metric.needs


def table_of(name: str, row: Row, part: TestPart, *, sure: Certainty) -> Table:
    """Averages of a row, with intervals and the spread over seeds."""
    table = tabulate(row.values, part)
    drawn = sure.drawn.get(name, {})
    overall: dict[str, Score] = {}
    for metric, score in table.overall.items():
        found = _interval(metric, row.values[metric], part, drawn=drawn.get(metric))
        spread = None
        if len(row.seeds) > 1:
            each = [tabulate({metric: one[metric]}, part).overall[metric] for one in row.seeds]
            spread = float(np.std([one.value for one in each], ddof=1))
        overall[metric] = score.model_copy(
            update={
                "interval": None if found is None else (found.low, found.high),
                "repeats_sd": spread,
            }
        )
    return table.model_copy(update={"overall": overall})


def _interval(
    metric: str, values: Array, part: TestPart, *, drawn: Array | None
) -> Interval | None:
    # Units share the one number of a pooled metric, so drawing them says nothing.
    return None if METRICS[metric].pooled else interval(values, part.conditions, drawn=drawn)


def differences(
    name: str, rows: Mapping[str, Row], part: TestPart, *, sure: Certainty
) -> dict[str, dict[str, Difference]]:
    """How a row differs from each other by each metric that both have, paired by condition."""
    ours = rows[name]
    return {
        other: {
            metric: difference(
                metric,
                ours.values[metric],
                theirs.values[metric],
                part.conditions,
                drawn=_minus(sure, name, other, metric),
            )
            for metric in ours.values
            if metric in theirs.values and not METRICS[metric].pooled
        }
        for other, theirs in rows.items()
        if other != name
    }


def _minus(sure: Certainty, one: str, other: str, metric: str) -> Array | None:
    pair = [sure.drawn.get(name, {}).get(metric) for name in (one, other)]
    return None if pair[0] is None or pair[1] is None else pair[0] - pair[1]


def difference(
    metric: str, ours: Array, theirs: Array, conditions: Sequence[str], *, drawn: Array | None
) -> Difference:
    """How a row differs from another by a metric, paired by condition.

    Args:
        metric: Its name.
        ours: Of each unit, (units,); NaN where undefined.
        theirs: The other row's.
        conditions: Of each unit.
        drawn: Ours less theirs on drawn cells, (draws, units); None: cells are not drawn.
    """
    apart = ours - theirs
    each = by_condition(apart[None], conditions)[0]
    each = each[np.isfinite(each)]
    better = each < 0 if METRICS[metric].mode == "min" else each > 0
    found = interval(apart, conditions, drawn=drawn)
    if len(each) and not each.any() and (drawn is None or not np.nan_to_num(drawn).any()):
        found = Interval(0.0, 0.0)  # the same scores whatever is drawn: known, not unknown
    return Difference(
        value=float(each.mean()) if len(each) else float("nan"),
        interval=found,
        wins=int(better.sum()),
        losses=int((~better & (each != 0)).sum()),
        conditions=len(each),
        within_noise=None if found is None else found.holds_zero,
    )
