"""The live bar of a terminal: the work, its progress and speed, and a sign that it is alive.

It takes as many lines as its words need; no word is cut.
"""

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from cli.show.fitting import GAP, packed
from cli.show.terminal import HOUSE
from cli.show.times import duration
from scdfm.screen.progress import is_phase

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live
    from rich.text import Text

_REFRESH = 8  # frames per second
_BAR = 20  # characters
_KEPT = 8  # lines of a terminal that a table above the bar leaves free
_WIDE = 72  # columns from which a bar of characters is drawn, too
_SPINNER, _ASCII_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "-\\|/"


class Lines(Protocol):
    """Lines that fit."""

    def __call__(self, *, width: int, height: int) -> Sequence[str]:
        """Lines of at most `width` characters, about `height` of them."""
        ...


def _nothing(*, width: int, height: int) -> Sequence[str]:
    return ()


class LiveBar:
    """One line, or a few, that are drawn again until the work is over.

    Attributes:
        above: What is drawn above the bar, until the work is over.
    """

    def __init__(self, work: str) -> None:
        self._work = work
        self._began = time.monotonic()
        self._phase = "starting"  # libraries take seconds to load
        self._count = ""
        self._share = 0.0
        self._words: Sequence[str] = ()
        self._over = False
        self.above: Lines = _nothing
        self._live: Live | None = None
        self._phases = _Phases(self)

    def start(self) -> None:
        """Draw it from now on."""
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            self,
            console=Console(stderr=True, highlight=False),
            refresh_per_second=_REFRESH,
            vertical_overflow="crop",
        )
        for name in HOUSE:
            logging.getLogger(name).addHandler(self._phases)
        self._live.start()

    def stop(self) -> None:
        """Leave the last state on the screen, or nothing if nothing was counted."""
        assert self._live is not None
        for name in HOUSE:
            logging.getLogger(name).removeHandler(self._phases)
        self._over, self._phase = True, ""
        self._live.transient = not self._count
        self._live.stop()

    def show(self, done: int, total: int, *, count: str, words: Sequence[str]) -> None:
        """Show how far the work is."""
        self._share = done / total if total else 0.0
        self._count, self._words, self._phase = count, words, ""

    def phase(self, what: str) -> None:
        """Show what is being done."""
        self._phase = what

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.text import Text

        if self._over and not self._count:
            return  # a line that is drawn to be erased again stays in a log of the terminal
        plain = options.ascii_only
        parts = [part for part in (self._count, self._phase, *self._words) if part]
        parts.append(duration(time.monotonic() - self._began))
        if self._over:
            mark = ""
        else:
            frames = _ASCII_SPINNER if plain else _SPINNER
            mark = frames[int(time.monotonic() * _REFRESH) % len(frames)] + " "
        head = f"{mark}{self._work} "
        bar = bool(self._count) and options.max_width >= _WIDE
        room = options.max_width - len(head) - (_BAR + len(GAP) if bar else 0)
        first, *rest = packed(parts, width=options.max_width, first=room)
        if not self._over:
            height = options.size.height - len(rest) - _KEPT
            for row in self.above(width=options.max_width, height=height):
                yield Text(row, no_wrap=True, style="dim")
        line = Text(head, no_wrap=True)
        if bar:
            line.append_text(_bar(self._share, plain=plain)).append(GAP)
        yield line.append(first)
        for row in rest:
            yield Text(row, no_wrap=True)


class _Phases(logging.Handler):
    """Shows in a bar what is being done."""

    def __init__(self, bar: LiveBar) -> None:
        super().__init__()
        self._bar = bar

    def emit(self, record: logging.LogRecord) -> None:
        """Show a phase; other lines are printed elsewhere."""
        if is_phase(record):
            self._bar.phase(record.getMessage())


def _bar(share: float, *, plain: bool) -> "Text":
    from rich.text import Text

    done = int(_BAR * min(share, 1.0))
    mark, rest = ("#", ".") if plain else ("━", "─")
    return Text(mark * done, style="green").append(rest * (_BAR - done), style="dim")
