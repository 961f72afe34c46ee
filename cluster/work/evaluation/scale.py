"""Scores of an evaluation on other scales.

How far from the perturbed mean towards what can be reached; and distances of cells over those of
controls that are moved to a mean, which know nothing of the cells but that.
"""

import math
from collections.abc import Mapping

from cluster.work.evaluation.record import CEILING
from scdfm.metrics import Table
from scdfm.metrics.rescaled import PERFECT, challenge_scores, rescale

BASELINE = "perturbed mean"
MOVED = ("shrunken", "additive")  # rows whose cells are controls moved to their mean
DISTANCES = ("mmd2", "energy_distance")
CHALLENGE = "vcc"  # the profile that goes to 1 at perfection, and to 0 at the baseline


def rescaled(
    tables: Mapping[str, Table], *, profile: str | None = None
) -> dict[str, dict[str, float]]:
    """By row and metric: 0 is the perturbed mean, 1 half of the real cells against the other half.

    By the profile `vcc` 1 is perfection, what is below 0 is 0, and `score` is the mean of the
    three. Empty where a row that the scale needs is not there, and without the rows that lack one
    of the three, as a table of means does.
    """
    if BASELINE not in tables or CEILING not in tables:
        return {}
    baseline = tables[BASELINE].overall
    if profile == CHALLENGE:
        return {
            row: challenge_scores(table.overall, baseline=baseline)
            for row, table in tables.items()
            if PERFECT.keys() <= table.overall.keys() & baseline.keys()
        }
    best = tables[CEILING].overall
    return {
        row: rescale(table.overall, baseline=baseline, best=best) for row, table in tables.items()
    }


def over_moved(tables: Mapping[str, Table]) -> dict[str, dict[str, dict[str, float]]]:
    """Distances of each row's cells over those of a row of moved controls, by that row.

    Below 1, a row knows more of the cells than their mean. Undefined where the moved controls are
    as near as other real cells may be (a distance of 0 or less).
    """
    return {
        base: {
            row: {name: _over(table, tables[base], name) for name in DISTANCES if _has(table, name)}
            for row, table in tables.items()
            if any(_has(table, name) for name in DISTANCES)
        }
        for base in MOVED
        if base in tables and any(_has(tables[base], name) for name in DISTANCES)
    }


def _has(table: Table, name: str) -> bool:
    return name in table.overall


def _over(table: Table, moved: Table, name: str) -> float:
    own, theirs = table.overall[name].value, moved.overall[name].value
    return own / theirs if theirs > 0 else math.nan
