"""The trials of a sweep, best first."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cli.show.report import ARROWS
from cli.show.tables import Column, Grid
from cli.show.tables import Row as Line
from cli.show.times import duration
from scdfm.screen.names import how_many

if TYPE_CHECKING:
    from sweeps.results import Row


def draw(
    rows: Sequence["Row"],
    *,
    metric: str,
    mode: str,
    further: Mapping[str, str] = MappingProxyType({}),
) -> Grid:
    """A line for each trial: rank, validation metric, what was tried, how it ended.

    Args:
        rows: The best first.
        metric: That they are ranked by.
        mode: Which way it is better, "min" or "max".
        further: Likewise of further metrics, by name.
    """
    splits = len(rows[0].splits) if rows and len(rows[0].splits) > 1 else 0
    named = any(row.name for row in rows)
    seeds = any(row.over_seeds is not None for row in rows)
    settings = list(rows[0].configuration) if rows else []
    columns = [
        Column("rank"),
        Column("trial"),
        *([Column("name", "left")] if named else []),
        Column(f"{metric} {ARROWS[mode]}"),
        *(Column(f"{name} {ARROWS[way]}") for name, way in further.items()),
        *([Column("further seeds")] if seeds else []),
        *(Column(f"split {split}") for split in range(splits)),
        *(Column(name) for name in settings),
        Column("time"),
        Column("", "left", words=True),
    ]
    lines = []
    for row in rows:
        cells = [
            _number(row.rank),
            _number(row.trial),
            *([row.name or "-"] if named else []),
            _number(row.value) if row.so_far is None else f"({_number(row.so_far)})",
            *(_number(row.further.get(name)) for name in further),
            *([_number(row.over_seeds)] if seeds else []),
            *(_number(value) for value in row.splits[:splits]),
            *(_number(row.configuration[name]) for name in settings),
            duration(row.seconds),
            _remark(row),
        ]
        bold = frozenset(range(len(cells))) if row.rank == 1 else frozenset()
        lines.append(Line(cells, bold))
    return Grid(columns, lines, keys=3 if named else 2)


def _remark(row: "Row") -> str:
    """What is special about a trial: the base's own settings, or how it ended early."""
    words = ["base"] if row.baseline else []
    if row.front:
        words.append("front")
    if row.verdict is not None and row.verdict.tie and row.rank == 1:
        words.append("ties with the base")
    if row.state != "complete":
        words.append(f"{row.state}{_of_splits(row)}")
    if row.error:
        words.append(row.error)
    return ", ".join(words)


def _of_splits(row: "Row") -> str:
    """What a score in brackets is of."""
    if row.of_splits is None:
        return ""
    return f" (score so far: {row.of_splits} of {how_many(len(row.splits), 'split')})"


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
