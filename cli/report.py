"""A model beside its baselines: tables for people, CSV for machines.

Pure functions of scores by row (scDFM, control, ...). An average that is undefined is shown as
such, and how many units were undefined is said below its table.
"""

import csv
import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table as Drawing

    from scdfm.metrics import Table
    from scdfm.metrics.table import Score

Rows = Mapping[str, Mapping[str, "Score"]]  # row name -> metric -> score

ARROWS = {"min": "↓", "max": "↑"}
_HEADER = ("row", "scope", "name", "metric", "value", "conditions", "undefined")


def pages(tables: Mapping[str, "Table"]) -> list["RenderableType"]:
    """The table over all units, then one per context where there are several, with their notes."""
    parts = _page({row: table.overall for row, table in tables.items()}, title="")
    contexts = sorted({name for table in tables.values() for name in table.contexts})
    if len(contexts) > 1:
        for name in contexts:
            rows = {row: table.contexts.get(name, {}) for row, table in tables.items()}
            parts += ["", *_page(rows, title=f"context {name}")]
    return parts


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
                    writer.writerow(
                        (row, scope, name, metric, value, score.conditions, score.undefined)
                    )
    return out.getvalue()


def best_rows(rows: Rows, *, metric: str, mode: str) -> set[str]:
    """The rows with the best value of a metric; several when they are equal."""
    values = {row: scores[metric].value for row, scores in rows.items() if metric in scores}
    defined = {row: value for row, value in values.items() if not math.isnan(value)}
    if not defined:
        return set()
    best = min(defined.values()) if mode == "min" else max(defined.values())
    return {row for row, value in defined.items() if value == best}


def undefined(rows: Rows) -> list[str]:
    """A line for every average that leaves units out."""
    return [
        f"{metric} of {row} is undefined in {score.undefined} units"
        for row, scores in rows.items()
        for metric, score in scores.items()
        if score.undefined
    ]


def _page(rows: Rows, *, title: str) -> list["RenderableType"]:
    return [_draw(rows, title=title), *undefined(rows)]


def _draw(rows: Rows, *, title: str) -> "Drawing":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as Drawing
    from rich.text import Text

    from scdfm.metrics.table import METRICS

    metrics = list(dict.fromkeys(metric for scores in rows.values() for metric in scores))
    best = {name: best_rows(rows, metric=name, mode=METRICS[name].mode) for name in metrics}
    table = Drawing(title=title or None, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for name in metrics:
        table.add_column(f"{name} {ARROWS[METRICS[name].mode]}", justify="right")
    for row, scores in rows.items():
        cells = [
            Text(shown(scores.get(name)), style="bold" if row in best[name] else "")
            for name in metrics
        ]
        table.add_row(Text(row), *cells)
    return table


def shown(score: "Score | None") -> str:
    """A value with five decimals; a dash where there is none."""
    return "-" if score is None or math.isnan(score.value) else f"{score.value:.5f}"
