"""Results go to standard output, all other messages to standard error.

On a terminal tables are fitted to its width; in a pipe nothing is cut, coloured or redrawn.
"""

import io
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cli.show.fitting import columns, fitted
from cli.usage import copied
from scdfm.screen.address import url_of, with_addresses
from scdfm.screen.progress import is_phase

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

HOUSE = ("scdfm", "data_store", "cluster", "sweeps", "cli")  # loggers that speak to the user
_INDENT = "  "  # of commands under the line that speaks of them
_PIPE_WIDTH = 10_000  # characters; a line in a pipe must not be folded


def console(stream: IO[str]) -> "Console":
    """A console that cuts nothing when the stream is a pipe."""
    from rich.console import Console

    wide = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=wide, highlight=False, soft_wrap=wide is not None)


def say(line: str) -> None:
    """Print a message for the user."""
    rows = fitted(with_addresses(line), width=columns(sys.stderr))
    sys.stderr.write("".join(f"{row}\n" for row in rows))
    sys.stderr.flush()


class _Lines(logging.Handler):
    """Prints what our packages log: the bare message, above a live bar.

    A live bar of rich replaces sys.stderr, so this looks it up for every line.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        if is_phase(record) and sys.stderr.isatty():
            return  # the bar shows it
        try:
            say(self.format(record))
        except Exception:  # noqa: BLE001 - a line that cannot be shown stops no work
            self.handleError(record)


@contextmanager
def listening() -> Iterator[None]:
    """Print on standard error what our packages log, for the time of the block."""
    handler = _Lines()
    loggers = [logging.getLogger(name) for name in HOUSE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)


def listen_closely() -> None:
    """Print also what is logged for debugging."""
    for name in HOUSE:
        logging.getLogger(name).setLevel(logging.DEBUG)


class _Drawn(io.StringIO):
    """What will go to standard output, drawn in characters that its encoding has."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return sys.stdout.encoding


def show(*parts: "RenderableType") -> None:
    """Print a result."""
    drawn = None if sys.stdout.isatty() else _Drawn()
    out = console(drawn or sys.stdout)
    for part in parts:
        if isinstance(part, str):
            part = "\n".join(fitted(with_addresses(part), width=columns(sys.stdout)))
        out.print(part, markup=False)
    if drawn is not None:
        # A table fills every line up to its longest one.
        lines = drawn.getvalue().split("\n")[:-1]
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))
        sys.stdout.flush()


def show_commands(*commands: Sequence[str]) -> None:
    """Print commands, given as words, so that they can be copied from a terminal of any width."""
    width = columns(sys.stdout)
    for words in commands:
        for row in copied(words, width=None if width is None else width - len(_INDENT)):
            sys.stdout.write(f"{_INDENT}{row}\n")
    sys.stdout.flush()


def show_json(value: Any) -> None:
    """Print a result as one JSON document."""
    sys.stdout.write(as_json(value))


def as_json(value: Any) -> str:
    """JSON of anything pydantic knows; NaN, which JSON does not have, becomes null."""
    from pydantic_core import to_json

    return with_addresses(to_json(value, indent=2, inf_nan_mode="null").decode()) + "\n"


def as_json_line(value: Any) -> str:
    """The same in one line."""
    from pydantic_core import to_json

    return to_json(value, inf_nan_mode="null").decode()


def require_file(path: Path | None, *, suffixes: tuple[str, ...], option: str = "--out") -> None:
    """Refuse a result file that could not be written, before the work is done.

    Raises:
        FileNotFoundError: Its directory does not exist.
        IsADirectoryError: It is a directory.
        PermissionError: Nothing can be written there.
        ValueError: Its name has another ending.
    """
    if path is None:
        return
    if path.is_dir():
        raise IsADirectoryError(f"expected a file name for {option}, got the directory {path}")
    if path.suffix not in suffixes:
        raise ValueError(f"expected {option} to end in {' or '.join(suffixes)}, got {path}")
    require_folder(path)


def require_there(place: Path | str, *, what: str, remedy: str = "name one that is there") -> None:
    """Refuse a missing path before slow libraries load; addresses are not checked.

    Raises:
        FileNotFoundError: Nothing is at that path.
    """
    # A path has made one slash of the two in s3://.
    if ":/" not in str(place) and not Path(place).exists():
        raise FileNotFoundError(f"no such {what}: {place}; {remedy}")


def save(text: str, path: Path) -> None:
    """Write a small result; a reader sees all of it or what was there before."""
    from scdfm.screen.atomic import write_text

    write_text(path, text)


def require_folder(path: Path) -> None:
    """Refuse a result without a directory to go to, before the work is done.

    Raises:
        FileNotFoundError: Its directory does not exist.
        PermissionError: Nothing can be written there.
    """
    if url_of(path) is not None:
        return
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"expected a directory {path.parent} for {path.name}, got none; create it"
        )
    from scdfm.screen.atomic import require_writable

    require_writable(path if path.is_dir() else path.parent)
