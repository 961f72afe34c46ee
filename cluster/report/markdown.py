"""A page as Markdown, with its figures as SVG files beside it."""

from collections.abc import Iterator

from cluster.report.page import (
    ARROWS,
    Block,
    Cell,
    Figure,
    Page,
    Part,
    Scores,
    Section,
    Table,
    Terms,
    Text,
    number,
)


def as_markdown(page: Page, *, folder: str, names: dict[int, str]) -> str:
    """The page as text of a Markdown file.

    Args:
        page: What is told.
        folder: Where the figures lie, as seen from the file.
        names: File name of each figure, without its ending, by its `id`.
    """
    lines = [f"# {_plain(page.title)}", "", *([_plain(page.about), ""] if page.about else [])]

    def told(section: Section) -> Iterator[str]:
        yield from (f"## {_plain(section.title)}", "")
        for block in section.blocks:
            yield from _block(block, folder=folder, names=names)

    for part in page.parts:
        lines += _head(part, alone=len(page.parts) == 1)
        for section in part.sections:
            lines += told(section)
    for section in page.ending:
        lines += told(section)
    return "\n".join(lines).rstrip() + "\n"


def _head(part: Part, *, alone: bool) -> list[str]:
    title = [] if alone else [f"# {_plain(part.title)}", ""]
    return [*title, *([_plain(part.about), ""] if part.about else [])]


def _block(block: Block, *, folder: str, names: dict[int, str]) -> Iterator[str]:
    match block:
        case Text():
            yield from (_plain(block.text), "")
        case Terms():
            yield from (f"- **{_plain(name)}**: {_plain(what)}" for name, what in block.of.items())
            yield ""
        case Figure():
            alt = _plain(block.text).replace("[", "(").replace("]", ")")
            yield from (f"![{alt}]({folder}/{names[id(block)]}.svg)", "")
            yield from (f"*{_plain(block.title)}.* {_plain(block.text)}", "")
        case Table():
            yield from (f"**{_plain(block.caption)}**", "")
            rows = [[cell.text + _noted(cell) for cell in row] for row in block.rows]
            yield from _grid(block.columns, rows)
        case Scores():
            yield from _scores(block)


def _scores(block: Scores) -> Iterator[str]:
    """The first metric only; the CSV of the HTML report and `evaluate` hold the others."""
    metric, by_row = next(iter(block.values.items()))
    yield from (f"**{_plain(block.caption)}**: {metric} {ARROWS[block.modes[metric]]}", "")
    rows = [
        [condition, *(number(by_row[row][place]) for row in block.rows)]
        for place, condition in enumerate(block.conditions)
    ]
    yield from _grid(("condition", *block.rows), rows)


def _grid(columns: tuple[str, ...], rows: list[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(map(_plain, columns)) + " |"
    yield "|" + " --- |" * len(columns)
    yield from ("| " + " | ".join(map(_plain, row)) + " |" for row in rows)
    yield ""


def _plain(text: str) -> str:
    """Text that Markdown takes as it is: no mark-up, no line end, no column."""
    for sign in ("\\", "`", "*", "_", "<", "|", "#"):
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def _noted(cell: Cell) -> str:
    return f" ({'; '.join(cell.note.splitlines())})" if cell.note else ""
