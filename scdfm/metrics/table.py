"""From units to a table: average the units of a condition, then the conditions.

An undefined unit is left out of the averages and counted; an average of nothing is NaN.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Protocol

import numpy as np
from pydantic import BaseModel, BeforeValidator, NonNegativeInt

from scdfm.metrics.profiles import known_of
from scdfm.metrics.pseudobulk import Array, Pseudobulks
from scdfm.metrics.registry import METRICS


def _nan_of_null(given: Any) -> Any:
    return math.nan if given is None else given


Number = Annotated[float, BeforeValidator(_nan_of_null)]
"""A number of a record; NaN is null in JSON, which has no NaN."""


class Score(BaseModel, frozen=True, extra="forbid"):
    """An average, and what it is an average of."""

    value: Number  # NaN when no unit is defined
    conditions: NonNegativeInt  # that have at least one defined unit
    undefined: NonNegativeInt  # units whose metric is NaN
    interval: tuple[Number, Number] | None = None  # 95 %, where it is known
    repeats_sd: Number | None = None  # standard deviation over seeds of the generated cells


class Named(Protocol):
    """Units by name."""

    @property
    def contexts(self) -> tuple[str, ...]: ...
    @property
    def conditions(self) -> tuple[str, ...]: ...


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
    return tabulate(unit_values(units, metrics=metrics), units)


def unit_values(units: Pseudobulks, *, metrics: Sequence[str] | None = None) -> dict[str, Array]:
    """The value of each metric in each unit, (units,); see `evaluate`.

    Raises:
        ValueError: A metric does not exist (names the nearest), or needs more than means.
    """
    names = known_of(units) if metrics is None else metrics
    return {name: METRICS[name].values(units) for name in names}


def tabulate(values: Mapping[str, Array], units: Named) -> Table:
    """Averages of a prediction's values, overall, by context and by condition.

    Args:
        values: By metric, (units,); NaN where undefined.
        units: What they are of.
    """
    contexts, conditions = np.array(units.contexts), np.array(units.conditions)

    def over(some: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> dict[str, Score]:
        return {name: _average(one[some], conditions[some]) for name, one in values.items()}

    return Table(
        overall=over(np.ones(len(conditions), dtype=bool)),
        contexts={str(one): over(contexts == one) for one in np.unique(contexts)},
        conditions={str(one): over(conditions == one) for one in np.unique(conditions)},
    )


def round_scores(units: Pseudobulks) -> dict[str, float]:
    """One number for each metric of a validation round, to choose between models.

    Metrics of cells are among them where `units` are `Evidence` that was measured of cells.

    A model must not win by leaving out what it cannot predict. So all are NaN where the prediction
    of any unit is not finite, and a unit that a prediction of no change alone leaves undefined
    counts as one without skill (`Metric.no_skill`), unless no unit is defined.
    """
    asked = [name for name, metric in METRICS.items() if metric.of_rounds]
    names = known_of(units, asked)
    if not np.isfinite(units.predicted).all():
        return dict.fromkeys(names, float("nan"))
    values = {
        name: _filled(one, units, name=name)
        for name, one in unit_values(units, metrics=names).items()
    }
    return {name: score.value for name, score in tabulate(values, units).overall.items()}


def _filled(values: Array, units: Pseudobulks, *, name: str) -> Array:
    """A metric of each unit of a round, (units,), without what the prediction alone leaves out."""
    metric, lacking = METRICS[name], np.isnan(values)
    if metric.no_skill is None or lacking.all() or not lacking.any():
        return values
    known = ~np.isnan(metric.values(replace(units, predicted=units.real)))
    return np.where(lacking & known, metric.no_skill, values)


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
