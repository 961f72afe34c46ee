"""Looking at something until nobody works on it any more: drawn again, or plain lines in a pipe."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

from cli.show.terminal import as_json_line, console
from scdfm.screen.untyped import JsonObject

if TYPE_CHECKING:
    from rich.console import RenderableType

_LOOK = 1.0  # seconds between two looks
QUIET = 5.0  # seconds between plain lines of progress
_goes_on: list[str] = []  # what is looked at, while it goes on: the thread of signals asks

N = TypeVar("N")


class Followed(Protocol[N]):
    """What is followed.

    Attributes:
        clocks: Names of facts that time alone changes.
        kind: What it is, such as "sweep".
    """

    clocks: frozenset[str]
    kind: str

    def look(self) -> N:
        """How it stands."""
        ...

    def over(self, now: N, /) -> bool:
        """Whether nobody works on it."""
        ...

    def done(self, now: N, /) -> bool:
        """Whether it is done."""
        ...

    def drawn(self, now: N, /, *, plain: bool) -> "RenderableType":
        """How it stands, on a terminal; `plain`: in ASCII."""
        ...

    def facts(self, now: N, /) -> JsonObject:
        """How it stands, ready for JSON."""
        ...

    def new(self, now: N, /) -> Iterable[str]:
        """Lines about what was not said before."""
        ...


def follow(followed: Followed[N], *, json: bool) -> bool:
    """Show it until it ends; whether it is done then.

    Args:
        followed: What to look at.
        json: A line of JSON for each change, of its clocks alone none.
    """
    if json or not sys.stdout.isatty():
        return _in_lines(followed, json=json)
    return _drawn(followed)


def _looks(followed: Followed[N]) -> Iterator[N]:
    """How it stands, again and again; the last time is that of its end."""
    try:
        while not followed.over(found := followed.look()):
            _goes_on[:] = [followed.kind]
            yield found
            time.sleep(_LOOK)
    finally:
        _goes_on.clear()
    yield found


def goes_on() -> str | None:
    """What to say when a signal ends the view; None: nothing is viewed that goes on."""
    kind = next(iter(_goes_on), None)  # the view may end just now
    return None if kind is None else f"only this view has ended, the {kind} goes on"


def _drawn(followed: Followed[N]) -> bool:
    from rich.live import Live

    out = console(sys.stdout)
    plain = out.options.ascii_only
    with Live(console=out, auto_refresh=False, vertical_overflow="crop") as live:
        for now in _looks(followed):
            live.update(followed.drawn(now, plain=plain), refresh=True)
    return followed.done(now)


def _in_lines(followed: Followed[N], *, json: bool) -> bool:
    before: JsonObject = {}
    for now in _looks(followed):
        facts = followed.facts(now)
        moved = {name: fact for name, fact in facts.items() if name not in followed.clocks}
        if not json:
            _say(followed.new(now))
        elif moved != before:
            _say([as_json_line(facts)])
        before = moved
    return followed.done(now)


def _say(lines: Iterable[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()  # a pipe would hold it back
