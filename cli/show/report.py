"""A model and its baselines: tables for people, CSV for machines.

Pure functions of scores by row (scDFM, control, ...). An average that is undefined is shown as
such, and how many units were undefined is said below its table.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from cli.show.tables import Column, Grid, Row

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cluster.work.comparison.compare import Average, RunDifference
    from cluster.work.evaluation.record import Difference, Evaluation
    from scdfm.metrics import Table
    from scdfm.metrics.table import Score

Rows = Mapping[str, Mapping[str, "Score"]]  # row name -> metric -> score

ARROWS = {"min": "↓", "max": "↑"}
HEADLINES = ("mse", "mse_corrected", "pearson_delta", "discrimination_score_l1", "overlap_at_N")
"""Metrics whose intervals and differences are printed; JSON has those of all."""

_HEADER = ("row", "scope", "name", "metric", "value", "conditions", "undefined", "low", "high")

_SIGNS = {"=": "identical to", "~": "within noise of"}  # behind a value, and what they say of it

Differences = Mapping[str, Mapping[str, "Difference"]]  # by other row and metric


def pages(
    tables: Mapping[str, "Table"], *, differences: Differences | None = None, mean: str = ""
) -> list["RenderableType"]:
    """The table over all units, then one per context where there are several, with their notes.

    Values that are those of the first row, or differ from them within noise, are marked. `mean`
    says how the model's means are made, where they have a base.
    """
    overall = {row: table.overall for row, table in tables.items()}
    title = f"{next(iter(tables))}: {mean}" if mean else ""
    parts = _page(overall, title=title, marks=_marks(overall, differences or {}))
    contexts = sorted({name for table in tables.values() for name in table.contexts})
    if len(contexts) > 1:
        for name in contexts:
            rows = {row: _main(table.contexts.get(name, {})) for row, table in tables.items()}
            parts += ["", *_page(rows, title=f"context {name}")]
    return parts


def _main(scores: Mapping[str, "Score"]) -> Mapping[str, "Score"]:
    """The main scores; all of them where none of these was asked for."""
    return {name: scores[name] for name in HEADLINES if name in scores} or scores


def as_csv(tables: Mapping[str, "Table"]) -> str:
    """Every score on a line: overall, by context and by condition; undefined is an empty value."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_HEADER)
    for row, table in tables.items():
        scopes = {"overall": {"": table.overall}, "context": table.contexts}
        for scope, parts in {**scopes, "condition": table.conditions}.items():
            for name, scores in parts.items():
                for metric, score in scores.items():
                    value = "" if math.isnan(score.value) else repr(score.value)
                    ends = map(repr, score.interval or ())
                    counts = (score.conditions, score.undefined)
                    writer.writerow((row, scope, name, metric, value, *counts, *ends))
    return out.getvalue()


def best_rows(rows: Rows, *, metric: str, mode: str) -> set[str]:
    """The rows with the best value of a metric; several when they are equal."""
    values = {row: scores[metric].value for row, scores in rows.items() if metric in scores}
    defined = {row: value for row, value in values.items() if not math.isnan(value)}
    if not defined:
        return set()
    best = min(defined.values()) if mode == "min" else max(defined.values())
    return {row for row, value in defined.items() if value == best}


def undefined(rows: Mapping[str, Mapping[str, "Score | Average"]]) -> list[str]:
    """A line for each metric with averages that leave units out."""
    left_out: dict[str, list[str]] = {}
    for row, scores in rows.items():
        for metric, score in scores.items():
            if score.undefined:
                left_out.setdefault(metric, []).append(f"{score.undefined} of {row}")
    return [f"{metric} is undefined in units: {', '.join(of)}" for metric, of in left_out.items()]


def _marks(rows: Rows, differences: Differences) -> dict[tuple[str, str], str]:
    """The sign of rows and metrics that are as the first row, or within noise of it.

    A difference is of the units where both rows are defined. Where these are not all that a row's
    value is of, the two values are of other units, and no sign is beside them.
    """
    first = next(iter(rows))
    return {
        (row, metric): "=" if one.identical else "~"
        for row, metrics in differences.items()
        for metric, one in metrics.items()
        if (one.identical or one.within_noise)
        and _undefined(rows[row].get(metric)) == _undefined(rows[first].get(metric))
    }


def _undefined(score: "Score | None") -> int:
    return 0 if score is None else score.undefined


def certainty(result: "Evaluation") -> list["RenderableType"]:
    """Intervals of the main scores, and how the first row differs from each other."""
    names = [name for name in HEADLINES if any(name in t.overall for t in result.tables.values())]
    known = [name for name in names if _has_interval(result, name)]
    if not known:
        return []
    columns = [Column("", "left"), *(Column(name) for name in known)]
    lines = [
        Row([row, *(_between(table.overall.get(name)) for name in known)])
        for row, table in result.tables.items()
    ]
    return [Grid(columns, lines, title="95 % intervals"), *_compared(result, known)]


def _has_interval(result: "Evaluation", name: str) -> bool:
    scores = (table.overall.get(name) for table in result.tables.values())
    return any(score is not None and score.interval is not None for score in scores)


def _between(score: "Score | None") -> str:
    if score is None or score.interval is None or math.isnan(score.value):
        return "-"
    return f"{score.interval[0]:.5f} to {score.interval[1]:.5f}"


def _compared(result: "Evaluation", names: Sequence[str]) -> list["RenderableType"]:
    known = (
        (row, name, metrics[name], metrics[name].conditions)
        for row, metrics in result.differences.items()
        for name in names
        if name in metrics
    )
    first = next(iter(result.tables))
    return difference_grid(known, title=f"{first} less each other row, by condition")


def difference_grid(
    differences: Iterable[tuple[str, str, "Difference | RunDifference", int]], *, title: str
) -> list["RenderableType"]:
    """A line for each row, metric, difference and count of what was paired; nothing of none."""
    columns = [Column("less", "left"), Column("metric", "left"), Column("difference")]
    columns += [Column("95 % interval"), Column("better in"), Column("", "left")]
    lines = [
        Row(
            [
                row,
                name,
                f"{one.value:+.5f}",
                "-"
                if one.interval is None or one.identical
                else "{:+.5f} to {:+.5f}".format(*one.interval),
                f"{one.wins} of {of}",
                "identical" if one.identical else "within noise" if one.within_noise else "",
            ]
        )
        for row, name, one, of in differences
        if of
    ]
    return [Grid(columns, lines, keys=2, title=title)] if lines else []


def _page(
    rows: Rows, *, title: str, marks: Mapping[tuple[str, str], str] = MappingProxyType({})
) -> list["RenderableType"]:
    first = next(iter(rows))
    legend = [f"{sign} {told} {first}" for sign, told in _SIGNS.items() if sign in marks.values()]
    return [_draw(rows, title=title, marks=marks), *legend, *undefined(rows)]


def _draw(rows: Rows, *, title: str, marks: Mapping[tuple[str, str], str]) -> Grid:
    from cluster.work.evaluation.record import CEILING
    from scdfm.metrics import METRICS

    metrics = list(dict.fromkeys(metric for scores in rows.values() for metric in scores))
    rivals = {row: scores for row, scores in rows.items() if row != CEILING}
    best = {name: best_rows(rivals, metric=name, mode=METRICS[name].mode) for name in metrics}
    columns = [Column("", "left")]
    columns += [Column(f"{name} {ARROWS[METRICS[name].mode]}") for name in metrics]
    lines = [
        Row(
            [
                row,
                *(
                    " ".join(filter(None, (shown(scores.get(name)), marks.get((row, name)))))
                    for name in metrics
                ),
            ],
            bold=frozenset(at for at, name in enumerate(metrics, start=1) if row in best[name]),
        )
        for row, scores in rows.items()
    ]
    return Grid(columns, lines, title=title)


def shown(score: "Score | None") -> str:
    """A value with five decimals; a dash where there is none."""
    return "-" if score is None or math.isnan(score.value) else f"{score.value:.5f}"
