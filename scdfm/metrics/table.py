"""From units to a table: average the units of a condition, then the conditions.

An undefined unit is left out of the averages and counted; an average of nothing is NaN.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, NonNegativeInt

from scdfm.metrics.discrimination import (
    discrimination_score_cosine,
    discrimination_score_l1,
    discrimination_score_l2,
)
from scdfm.metrics.pseudobulk import Array, Pseudobulks, l2, mae, mse, pearson_delta
from scdfm.screen.names import nearest


class Metric(NamedTuple):
    """How to compute a metric and which way is better."""

    of_units: Callable[[Pseudobulks], Array]
    mode: Literal["min", "max"]


METRICS: Mapping[str, Metric] = {
    "mse": Metric(mse, "min"),
    "mae": Metric(mae, "min"),
    "l2": Metric(l2, "min"),
    "pearson_delta": Metric(pearson_delta, "max"),
    "discrimination_score_l1": Metric(discrimination_score_l1, "max"),
    "discrimination_score_l2": Metric(discrimination_score_l2, "max"),
    "discrimination_score_cosine": Metric(discrimination_score_cosine, "max"),
}


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


def evaluate(units: Pseudobulks, *, metrics: Sequence[str] = tuple(METRICS)) -> Table:
    """Score a prediction by every metric asked for.

    Raises:
        ValueError: A metric does not exist (names the nearest).
    """
    require_metrics(metrics)
    scores = {name: METRICS[name].of_units(units) for name in metrics}
    contexts, conditions = np.array(units.contexts), np.array(units.conditions)

    def over(some: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> dict[str, Score]:
        return {name: _average(values[some], conditions[some]) for name, values in scores.items()}

    return Table(
        overall=over(np.ones(len(conditions), dtype=bool)),
        contexts={str(one): over(contexts == one) for one in np.unique(contexts)},
        conditions={str(one): over(conditions == one) for one in np.unique(conditions)},
    )


def require_metrics(names: Sequence[str]) -> None:
    """Refuse names that are no metric.

    Raises:
        ValueError: Names the first one and the nearest metric.
    """
    for name in names:
        if name not in METRICS:
            raise ValueError(f"metric {name!r} does not exist; {nearest(name, METRICS)}")


def _average(values: Array, conditions: np.ndarray[tuple[int], np.dtype[np.str_]]) -> Score:
    """Mean over conditions of the mean over their defined units."""
    defined = ~np.isnan(values)
    means = [values[defined & (conditions == one)].mean() for one in np.unique(conditions[defined])]
    return Score(
        value=float(np.mean(means)) if means else float("nan"),
        conditions=len(means),
        undefined=int((~defined).sum()),
    )
