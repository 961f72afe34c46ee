"""What a report consists of, whatever it is written as.

A page has parts (one for each run, sweep or evaluation), a part has sections, a section has blocks:
text, facts, tables, figures, scores by condition. `html` and `markdown` write it.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

ARROWS = {"min": "↓", "max": "↑"}  # which way a metric is better


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"

    text: str


@dataclass(frozen=True)
class Terms:
    """Names and what each of them is: facts of a run, or a glossary."""

    kind: ClassVar[str] = "terms"

    of: Mapping[str, str]


@dataclass(frozen=True)
class Figure:
    """A drawing, and what it says to who cannot see it.

    Attributes:
        name: Of its file, such as "training-loss".
        title: What is shown.
        text: The same in words, with the main numbers: a text alternative.
        drawing: Of matplotlib.
        wide: It needs the page's whole width.
    """

    kind: ClassVar[str] = "figure"

    name: str
    title: str
    text: str
    drawing: "Drawing"
    wide: bool = False


@dataclass(frozen=True)
class Cell:
    """A table's cell."""

    text: str
    value: float | str = ""  # what a column is sorted by
    strong: bool = False
    note: str = ""  # an interval, or remarks, a line each, in small letters


@dataclass(frozen=True)
class Table:
    """A table that can be sorted, and filtered where it is long.

    Attributes:
        name: Of its CSV file.
        caption: What it holds.
        columns: Names of its columns.
        rows: Cells; the first names the row.
        full: Header and rows of the CSV inside; none: as shown.
    """

    kind: ClassVar[str] = "table"
    LONG: ClassVar[int] = 12  # rows; a longer table has a filter

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    full: Sequence[Sequence[object]] = ()

    @property
    def csv(self) -> str:
        """The table as CSV; NaN is empty."""
        shown = [[cell.text for cell in row] for row in self.rows]
        return as_csv(self.full or [self.columns, *shown])

    @property
    def long(self) -> bool:
        """Whether it needs a filter."""
        return len(self.rows) > self.LONG


@dataclass(frozen=True)
class Scores:
    """Each condition by each row (the model, a baseline), for one metric at a time.

    Attributes:
        name: Of its CSV file.
        caption: What it holds.
        conditions: Names.
        tags: What is said beside each condition, "" where nothing is.
        rows: The model first.
        rivals: Rows of which the best is marked; a noise ceiling is none.
        modes: Which way each metric is better, by metric: "min" or "max".
        values: By metric, then row: one value for each condition, NaN where it is undefined.
    """

    kind: ClassVar[str] = "scores"

    name: str
    caption: str
    conditions: tuple[str, ...]
    tags: tuple[str, ...]
    rows: tuple[str, ...]
    rivals: tuple[str, ...]
    modes: Mapping[str, str]
    values: Mapping[str, Mapping[str, Sequence[float]]]

    @property
    def csv(self) -> str:
        """Every value on a line."""
        lines: list[list[object]] = [["condition", "tag", "metric", *self.rows]]
        for metric, by_row in self.values.items():
            for place, (condition, tag) in enumerate(zip(self.conditions, self.tags, strict=True)):
                values = [by_row[row][place] for row in self.rows]
                lines.append([condition, tag, metric, *values])
        return as_csv(lines)


Block = Text | Terms | Figure | Table | Scores


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]
    folded: bool = False  # shown when it is opened


@dataclass(frozen=True)
class Part:
    """All about one run, sweep or evaluation."""

    title: str
    sections: Sequence[Section]
    about: str = ""


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    parts: Sequence[Part]
    about: str = ""
    ending: Sequence[Section] = field(default=())  # what is said once: a glossary

    @property
    def sections(self) -> Iterator[Section]:
        """All of them, in order."""
        for part in self.parts:
            yield from part.sections
        yield from self.ending

    @property
    def figures(self) -> Iterator[Figure]:
        """All figures, in order."""
        for section in self.sections:
            yield from (block for block in section.blocks if isinstance(block, Figure))


def number(value: float | None, *, digits: int = 4) -> str:
    """A value with a few digits, and a dash where it is undefined."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.{digits}g}"


def counted(count: int, what: str) -> str:
    """A count with its noun, such as "1 gene" and "2 genes"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def as_csv(rows: Sequence[Sequence[object]]) -> str:
    """Rows as CSV; an undefined number is an empty field."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in rows:
        writer.writerow(["" if isinstance(one, float) and math.isnan(one) else one for one in row])
    return out.getvalue()
