"""Rescaled scores of an evaluation: how far from the perturbed mean towards what can be reached."""

from collections.abc import Mapping

from cluster.work.evaluation.record import CEILING
from scdfm.metrics import Table
from scdfm.metrics.rescaled import PERFECT, challenge_scores, rescale

BASELINE = "perturbed mean"
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
