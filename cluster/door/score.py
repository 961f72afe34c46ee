"""Two AnnData in, a table of scores out: any model's cells against real ones, without a store."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from cluster.door.labelled import Labelled, Unit, shared_genes
from scdfm.metrics import METRICS, Training, UnitCells, metrics_of
from scdfm.metrics.de.table import Moments
from scdfm.metrics.gather import gather
from scdfm.metrics.training import training_of
from scdfm.metrics.units import Cells
from scdfm.screen.conditions import JOINT, Words

log = logging.getLogger(__name__)


def score(
    predicted: AnnData,
    *,
    real: AnnData,
    condition: str = "condition",
    control: str = "control",
    context: str | None = None,
    training: AnnData | None = None,
    metrics: Sequence[str] | None = None,
    profile: str | None = None,
    separator: str = JOINT,
    perturbation: Literal["gene", "drug"] = "gene",
    threads: int | None = None,
) -> pd.DataFrame:
    """Score predicted cells against real ones, condition by condition.

        scores = scdfm.score(predicted, real=real, control="ctrl")
        scores["overlap_at_N"].mean()

    Values are log1p of normalised counts, dense or sparse. Where the prediction brings controls
    of its own, its changes are measured from those, as cell-eval does, else from the real ones.

    Args:
        predicted: Predicted cells.
        real: Real cells of the same conditions, and control cells.
        condition: Column of obs with the condition, in both; "A+B" and "B+A" are the same.
        control: Its label of control cells.
        context: Column of obs with the context, such as a cell line or a patient; none: one.
        training: Cells of the conditions that were trained on, with their controls, for the
            metrics that start from those; without it they are left out.
        metrics: Names of metrics (`scdfm.metrics.METRICS`); none: all that can be computed.
        profile: Of metrics that belong together: paper, vcc or vcc2026.
        separator: Between the perturbations of a label.
        perturbation: What conditions are. Metrics that leave perturbed genes out know no gene of
            drugs, however they are spelt.
        threads: Conditions scored at a time; none: as many as there are CPUs.

    Returns:
        A row for each condition of the real cells, under their labels, a column for each metric;
        NaN where it is undefined, as for a condition that was not predicted. With a context, rows
        are (context, condition). A metric of all conditions together repeats its value.

    Raises:
        ValueError: No such column, no control cells, no shared gene or condition, values that
            are not on a log scale, or a metric that does not exist or needs `training`.
    """
    genes = shared_genes(predicted, real)
    words = Words(controls=(control,), separator=separator)

    def read(cells: AnnData, of: str) -> Labelled:
        return Labelled.of(
            cells, condition=condition, context=context, words=words, genes=genes, of=of
        )

    theirs, ours = read(real, "real"), read(predicted, "predicted")
    trained = None if training is None else read(training, "training")
    names = _names(profile=profile, metrics=metrics, trained=training is not None)
    evidence = gather(
        _units(ours, theirs, control=control),
        genes=genes,
        tokens_are_genes=perturbation == "gene",
        metrics=names,
        training=None if trained is None else _training(trained, control=control),
        threads=threads,
    )
    labels = [
        theirs.labels[place] for place in zip(evidence.contexts, evidence.conditions, strict=True)
    ]
    index: pd.Index[Any] = pd.Index(labels, name=condition)
    if context is not None:
        index = pd.MultiIndex.from_arrays([evidence.contexts, labels], names=[context, condition])
    known = [name for name in names if METRICS[name].known_of(evidence)]
    return pd.DataFrame({name: METRICS[name].values(evidence) for name in known}, index=index)


def _units(ours: Labelled, theirs: Labelled, *, control: str) -> Iterator[UnitCells]:
    """Units of the real cells, context by context."""
    wanted = sorted((unit for unit in theirs.units if unit[1]), key=lambda unit: unit[0])
    asked = [unit for unit in ours.units if unit[1]]
    if not set(wanted) & set(asked):
        raise ValueError(
            "expected predictions of the real conditions, found none of them; the real ones "
            f"begin with {min(theirs.labels.values())!r}, the predicted with "
            f"{min(ours.labels.values())!r}"
        )
    _say_missing(set(wanted) - set(asked), what="have no predicted cells and no scores", of=theirs)
    _say_missing(set(asked) - set(wanted), what="have no real cells and are left out", of=ours)
    controls: dict[str, tuple[Cells, Cells | None]] = {}
    for unit in wanted:
        place = unit[0]
        if place not in controls:
            where = f" of context {place!r}" if place else ""
            if (place, "") not in theirs.units:
                raise ValueError(
                    f"expected control cells{where} with the label {control!r} among the real "
                    "cells, found none; name their label with control="
                )
            own = ours.of_unit((place, "")) if (place, "") in ours.units else None
            controls = {place: (theirs.of_unit((place, "")), own)}
        real_control, own = controls[place]
        predicted = ours.of_unit(unit) if unit in ours.units else None
        unknown = None if predicted is not None else np.full(real_control.shape[1], np.nan)
        yield UnitCells(
            context=place,
            condition=unit[1],
            real=theirs.of_unit(unit),
            control=real_control,
            predicted=predicted,
            predicted_mean=unknown,
            predicted_control=own,
        )


def _say_missing(units: set[Unit], *, what: str, of: Labelled) -> None:
    if units:
        first = of.labels[min(units)]
        log.warning(f"{len(units)} conditions {what}, first {first!r}")


def _training(cells: Labelled, *, control: str) -> Training:
    """What metrics take from training cells.

    Raises:
        ValueError: No control cells, or nothing else.
    """
    units = [unit for unit in cells.units if unit[1]]
    lacking = {unit[0] for unit in units if (unit[0], "") not in cells.units}
    if lacking or not units:
        raise ValueError(
            f"expected conditions and control cells with the label {control!r} in each context of "
            "training, found none; keep the controls beside the conditions"
        )
    own = [Moments.of(cells.of_unit(unit)) for unit in units]
    controls = {place: Moments.of(cells.of_unit((place, ""))) for place in {u[0] for u in units}}
    beside = [controls[unit[0]] for unit in units]
    return training_of(
        np.stack([one.mean for one in own]),
        variances=np.nan_to_num(np.stack([one.variance for one in own])),
        cells=np.array([one.cells for one in own]),
        control_means=np.stack([one.mean for one in beside]),
        control_variances=np.nan_to_num(np.stack([one.variance for one in beside])),
        control_cells=np.array([one.cells for one in beside]),
    )


def _names(*, profile: str | None, metrics: Sequence[str] | None, trained: bool) -> tuple[str, ...]:
    """The metrics to compute: all that were named, or those that can be."""
    names = metrics_of(profile=profile, metrics=metrics)
    lacking = [name for name in names if not trained and "training" in METRICS[name].needs]
    if lacking and metrics is not None:
        raise ValueError(f"{lacking[0]} starts from the training cells; give them with training=")
    return tuple(name for name in names if name not in lacking)
