"""Runs compared: mean and spread of each row over runs, and paired differences."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cli.show.report import ARROWS, HEADLINES, difference_grid, undefined
from cli.show.tables import Column, Grid, Row
from scdfm.screen.names import how_many

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cluster.work.comparison.compare import Average, Compared, Comparison

_WEIGHT = re.compile(r"(?<= \+ )\S+(?= x flow)")  # in "shrunken base + 0.24 x flow, shape 0.25"


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
    title = "\n".join([title, *_means(found.runs)])
    return [Grid(columns, lines, title=title), *notes, *_differences(found, names)]


def _means(runs: Sequence["Compared"]) -> list[str]:
    """How the means of each row's models are made, a line each; none where none has a base."""
    by_row: dict[str, dict[str, None]] = {}
    for one in runs:
        by_row.setdefault(one.row, {})[one.mean or "no base"] = None
    return [
        f"{row}: {_range(list(some))}" for row, some in by_row.items() if [*some] != ["no base"]
    ]


def _range(means: Sequence[str]) -> str:
    """Means in words as one, from the least to the largest weight of the flow."""
    if len({_WEIGHT.sub("", one) for one in means}) > 1:
        return " or ".join(means)
    weights = sorted((weight for one in means for weight in _WEIGHT.findall(one)), key=float)
    return _WEIGHT.sub(" to ".join(dict.fromkeys([weights[0], weights[-1]])), means[0])


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
