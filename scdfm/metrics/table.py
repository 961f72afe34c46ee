"""From units to a table: average the units of a condition, then the conditions.

An undefined unit is left out of the averages and counted; an average of nothing is NaN.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, NonNegativeInt

from scdfm.metrics.profiles import known_of
from scdfm.metrics.pseudobulk import Array, Pseudobulks
from scdfm.metrics.registry import METRICS


class Score(BaseModel, frozen=True, extra="forbid"):
    """An average, and what it is an average of."""

    value: float  # NaN when no unit is defined; null in JSON
    conditions: NonNegativeInt  # that have at least one defined unit
    undefined: NonNegativeInt  # units whose metric is NaN


class Table(BaseModel, frozen=True, extra="forbid"):
    """Scores by metric: over all units, and by context and by condition."""

    overall: dict[str, Score]
    contexts: dict[str, dict[str, Score]]
    conditions: dict[str, dict[str, Score]]


def evaluate(units: Pseudobulks, *, metrics: Sequence[str] | None = None) -> Table:
    """Score a prediction.

    Args:
        units: Predicted and real means; as `Evidence`, which `gather` makes, with what is known
            of their cells.
        metrics: Names; none: the usual ones that these units have what it takes for.

    Raises:
        ValueError: A metric does not exist (names the nearest), or needs more than means.
    """
    names = known_of(units) if metrics is None else metrics
    scores = {name: METRICS[name].values(units) for name in names}
    contexts, conditions = np.array(units.contexts), np.array(units.conditions)

    def over(some: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> dict[str, Score]:
        return {name: _average(values[some], conditions[some]) for name, values in scores.items()}

    return Table(
        overall=over(np.ones(len(conditions), dtype=bool)),
        contexts={str(one): over(contexts == one) for one in np.unique(contexts)},
        conditions={str(one): over(conditions == one) for one in np.unique(conditions)},
    )


def round_scores(units: Pseudobulks) -> dict[str, float]:
    """One number for each metric of means, to choose between models.

    NaN throughout where the prediction of any unit is not finite: a model must not win by leaving
    out what it cannot predict.
    """
    names = [name for name, metric in METRICS.items() if metric.of_means]
    if not np.isfinite(units.predicted).all():
        return dict.fromkeys(names, float("nan"))
    scores = evaluate(units, metrics=names).overall
    return {name: score.value for name, score in scores.items()}


def _average(values: Array, conditions: np.ndarray[tuple[int], np.dtype[np.str_]]) -> Score:
    """Mean over conditions of the mean over their defined units."""
    defined = ~np.isnan(values)
    means = [values[defined & (conditions == one)].mean() for one in np.unique(conditions[defined])]
    with np.errstate(over="ignore"):
        mean = float(np.mean(means)) if means else float("nan")
    return Score(
        value=mean if np.isfinite(mean) else float("nan"),
        conditions=len(means),
        undefined=int((~defined).sum()),
    )
