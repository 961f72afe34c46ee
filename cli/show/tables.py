"""Tables that fit: wide ones become several tables or one fact per line; no number is cut."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from scdfm.screen.address import with_addresses

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table

_PADDING = 3  # columns of a terminal around every cell: two spaces and a divider
_EDGES = 2  # columns of a terminal beside a table
_PIECE = 140  # characters of a table in a pipe, where its columns allow
_NARROWEST = 16  # columns in which a column of words may be folded


class Column(NamedTuple):
    """A column: its name, how its cells are aligned, and whether they are sentences."""

    name: str
    justify: Literal["left", "right"] = "right"
    words: bool = False  # may be folded between words


class Row(NamedTuple):
    """A cell for each column, and the positions of those in bold."""

    cells: Sequence[str]
    bold: frozenset[int] = frozenset()


class Grid:
    """A table that is drawn in as many pieces as the width requires.

    Args:
        columns: All columns.
        rows: A row holds a cell for each column.
        keys: How many of the first columns name a row; every piece repeats them.
        title: Printed above it.
    """

    def __init__(
        self, columns: Sequence[Column], rows: Sequence[Row], *, keys: int = 1, title: str = ""
    ) -> None:
        rows = [row._replace(cells=[*map(with_addresses, row.cells)]) for row in rows]
        self._columns, self._rows, self._keys, self._title = columns, rows, keys, title
        self._widths = [
            _PADDING + max(len(column.name), *(len(row.cells[at]) for row in rows), 0)
            for at, column in enumerate(columns)
        ]

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        # A pipe has no width, but a line of thirty columns cannot be read in a log either, nor can
        # one that a single sentence has widened.
        pipe = not console.is_terminal
        width = min(options.max_width, _PIECE) if pipe else options.max_width
        pieces = self._pieces(width, pipe=pipe) or self._pieces(options.max_width, pipe=pipe)
        if pieces is None:
            yield from self._stacked()
            return
        yield from self._titled()  # a table's own title is no wider than the table
        for piece in pieces:
            table = self._drawn(piece)
            least = _EDGES + sum(self._least(at, pipe=pipe) for at in piece)
            yield from console.render(table, options.update(width=max(width, least)))

    def _pieces(self, width: int, *, pipe: bool) -> list[list[int]] | None:
        """Columns of each piece by their place; none when a row cannot be shown side by side."""
        keys = list(range(self._keys))
        room = width - _EDGES - sum(self._widths[at] for at in keys)
        pieces: list[list[int]] = []
        left = 0
        for at in range(self._keys, len(self._columns)):
            least = self._least(at, pipe=pipe)
            if least > room:
                return None
            if not pieces or least > left:
                pieces.append([*keys])
                left = room
            pieces[-1].append(at)
            left -= min(self._widths[at], left)
        return pieces or [keys]

    def _least(self, at: int, *, pipe: bool) -> int:
        """Width below which a column is not drawn; in a pipe no word of it is broken."""
        if not self._columns[at].words:
            return self._widths[at]
        words = (word for row in self._rows for word in row.cells[at].split()) if pipe else ()
        return min(self._widths[at], _PADDING + max(_NARROWEST, *map(len, words), 0))

    def _drawn(self, piece: Sequence[int]) -> "Table":
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD)
        for at in piece:
            column = self._columns[at]
            table.add_column(
                Text(column.name),
                justify=column.justify,
                no_wrap=not column.words,
                overflow="fold",
            )
        for row in self._rows:
            table.add_row(
                *(Text(row.cells[at], style="bold" if at in row.bold else "") for at in piece)
            )
        return table

    def _titled(self) -> "RenderResult":
        from rich.text import Text

        if self._title:
            yield Text(self._title, style="italic")

    def _stacked(self) -> "RenderResult":
        """A block for each row: its keys, then a line for each fact."""
        from rich.text import Text

        yield from self._titled()
        for row in self._rows:
            for at, (column, cell) in enumerate(zip(self._columns, row.cells, strict=True)):
                if not cell:
                    continue
                indent = "" if at == 0 else "  "
                name = f"{column.name} " if column.name else ""
                yield Text(f"{indent}{name}{cell}", overflow="fold")


def pairs(facts: Mapping[str, Any]) -> "RenderableType":
    """Facts by name, a line for each."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(Text(name, style="dim"), Text(with_addresses(str(value))))
    return table
