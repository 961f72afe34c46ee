"""The trials of a sweep, best first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cli.progress import duration
from cli.report import ARROWS

if TYPE_CHECKING:
    from rich.table import Table

    from sweeps.results import Row


def draw(rows: Sequence["Row"], *, metric: str, mode: str) -> "Table":
    """A line for each trial: rank, validation metric, what was tried, how it ended."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD)
    several = bool(rows) and len(rows[0].splits) > 1
    named = any(row.name for row in rows)
    for name in ("rank", "trial", *(["name"] if named else []), f"{metric} {ARROWS[mode]}"):
        table.add_column(name, justify="left" if name == "name" else "right")
    for split in range(len(rows[0].splits) if several else 0):
        table.add_column(f"split {split}", justify="right")
    settings = list(rows[0].configuration) if rows else []
    for name in settings:
        table.add_column(name, justify="right")
    table.add_column("time", justify="right")
    table.add_column("")
    for row in rows:
        cells = [
            _number(row.rank),
            _number(row.trial),
            *([row.name or "-"] if named else []),
            _number(row.value),
            *(_number(value) for value in (row.splits if several else ())),
            *(_number(row.configuration[name]) for name in settings),
            duration(row.seconds),
            _remark(row),
        ]
        style = "bold" if row.rank == 1 else ""
        table.add_row(*(Text(cell, style=style) for cell in cells))
    return table


def _remark(row: "Row") -> str:
    """What is special about a trial: the base's own settings, or how it ended early."""
    words = ["base"] if row.baseline else []
    if row.state != "complete":
        words.append(row.state)
    if row.error:
        words.append(row.error)
    return ", ".join(words)


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
