"""How similar predicted and real changes are, apart from their size."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scdfm.metrics.evidence import CellFacts, Evidence
from scdfm.metrics.metric import Metric
from scdfm.metrics.pseudobulk import Array, Pseudobulks, without_rounding

TOP = 20


def pearson_delta(units: Pseudobulks) -> Array:
    """Pearson correlation over genes of predicted and real change from control, (units,).

    Undefined where either change is the same for every gene up to rounding, as for a no-change
    prediction.

    Source: cell-eval 0.8.2 `pearson_delta`.
    """
    return _correlation(
        _centred(units.predicted_delta, scale=units.scale),
        _centred(units.real_delta, scale=units.real_scale),
    )


def pearson_delta_pertmean(units: Evidence) -> Array:
    """Pearson correlation over genes of changes from the training conditions' centroid, (units,).

    What all conditions share earns nothing: a prediction of the centroid is undefined.

    Source: Systema (Vinas Torne et al. 2025); SCIENCE section 6.
    """
    predicted, real = _from_centroid(units)
    genes = np.ones(real.shape, dtype=bool)
    return _over(genes, predicted, real, units=units)


def pearson_delta_pertmean_top20(units: Evidence) -> Array:
    """The same over the 20 genes that differ most from control in the real cells, (units,).

    Those with the smallest p values, among equal ones with the largest fold changes.

    Source: Systema (Vinas Torne et al. 2025); SCIENCE section 6.
    """
    assert units.real_cells is not None, "Metric.needs says so"
    predicted, real = _from_centroid(units)
    genes = strongest(units.real_cells, count=TOP, names=units.genes)
    return _over(genes, predicted, real, units=units)


def strongest(facts: CellFacts, *, count: int, names: Sequence[str]) -> NDArray[np.bool_]:
    """The genes of each unit that differ most from control, (units, genes); equal ones by name."""
    place = np.broadcast_to(np.argsort(np.argsort(np.array(names))), facts.p_value.shape)
    order = np.lexsort((place, -np.abs(facts.lfc), facts.p_value), axis=1)[:, :count]
    chosen = np.zeros(facts.p_value.shape, dtype=bool)
    np.put_along_axis(chosen, order, values=True, axis=1)
    return chosen


def _from_centroid(units: Evidence) -> tuple[Array, Array]:
    assert units.training is not None, "Metric.needs says so"
    return units.predicted - units.training.mean, units.real - units.training.mean


def _over(genes: NDArray[np.bool_], predicted: Array, real: Array, *, units: Evidence) -> Array:
    """Correlation of two changes over some genes of each unit, (units,)."""
    scale = units.scale, units.real_scale
    values = np.full(len(real), np.nan)
    for row, some in enumerate(genes):
        one = slice(row, row + 1)
        values[one] = _correlation(
            _centred(predicted[one, some], scale=scale[0][one]),
            _centred(real[one, some], scale=scale[1][one]),
        )
    return values


def _correlation(predicted: Array, real: Array) -> Array:
    """Cosine of centred changes, (units,); NaN where one of them is 0."""
    lengths = np.linalg.norm(predicted, axis=1) * np.linalg.norm(real, axis=1)
    correlation = np.full(len(lengths), np.nan)
    np.divide(np.sum(predicted * real, axis=1), lengths, out=correlation, where=lengths > 0)
    np.clip(correlation, -1.0, 1.0, out=correlation)
    return correlation


def _centred(changes: Array, *, scale: Array) -> Array:
    """Changes less their mean over genes, (units, genes)."""
    return without_rounding(changes - changes.mean(axis=1, keepdims=True), scale=scale)


PEARSON_DELTA = Metric(
    pearson_delta,
    mode="max",
    no_skill=0.0,
    says="How well predicted changes from control agree with the real ones, gene by gene, "
    "apart from their size (Pearson correlation; 1 is best).",
)
PEARSON_DELTA_PERTMEAN = Metric(
    pearson_delta_pertmean,
    mode="max",
    needs=("training",),
    says="pearson_delta of changes from the average of the training conditions, so that what "
    "all conditions share earns nothing.",
)
PEARSON_DELTA_PERTMEAN_TOP20 = Metric(
    pearson_delta_pertmean_top20,
    mode="max",
    needs=("training", "real_cells"),
    says="pearson_delta_pertmean over the 20 genes that differ most from control in reality.",
)
