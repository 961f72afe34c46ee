"""Runs compared: mean and spread of each row over runs, and paired differences."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cli.show.report import ARROWS, HEADLINES, difference_grid, undefined
from cli.show.tables import Column, Grid, Row
from scdfm.screen.names import how_many

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cluster.work.comparison.compare import Average, Comparison


def pages(found: "Comparison", *, metrics: Sequence[str] | None = None) -> list["RenderableType"]:
    """The table over runs, and how the first row differs from each other.

    Args:
        found: What was compared.
        metrics: To show; none: the main ones.
    """
    from scdfm.metrics import METRICS

    known = next(iter(found.tables.values()))
    names = [name for name in metrics or HEADLINES if name in known] or list(known)
    columns = [
        Column("", "left"),
        *(Column(f"{name} {ARROWS[METRICS[name].mode]}") for name in names),
    ]
    lines = [
        Row([row, *(_spread(scores[name]) for name in names)])
        for row, scores in found.tables.items()
    ]
    count = len(found.runs)
    alone = len({one.row for one in found.runs}) == count  # each run has a row of its own
    title = f"mean (sd) over {count} runs" if not alone else how_many(count, "run")
    shown = {row: {name: scores[name] for name in names} for row, scores in found.tables.items()}
    notes = undefined(shown)
    return [Grid(columns, lines, title=title), *notes, *_differences(found, names)]


def lacking(found: "Comparison", *, metrics: Sequence[str] | None) -> list[str]:
    """Say which of the metrics that were asked for these runs do not have."""
    known = next(iter(found.tables.values()))
    absent = [name for name in metrics or () if name not in known]
    return [f"undefined for these runs, and not shown: {', '.join(absent)}"] if absent else []


def _spread(score: "Average") -> str:
    if math.isnan(score.value):
        return "-"
    return f"{score.value:.5f}" + ("" if math.isnan(score.sd) else f" ({score.sd:.5f})")


def _differences(found: "Comparison", names: Sequence[str]) -> list["RenderableType"]:
    first = next(iter(found.tables))
    known = (
        (row, name, metrics[name], metrics[name].runs)
        for row, metrics in found.differences.items()
        for name in names
    )
    return difference_grid(known, title=f"{first} less each other row, by run")
