"""Lines that fit a terminal: broken between their parts or words, never inside a word."""

import os
import re
import shutil
import textwrap
from collections.abc import Sequence
from typing import IO

GAP = "  "  # between the parts of a line, such as two metrics
_INDENT = "  "  # of what goes on
_LABELLED = re.compile(r"(\s*\S+(?: \S+)? {2,})(\S.*)")  # one or two words, a gap, and the rest


def columns(stream: IO[str]) -> int | None:
    """Width of the terminal behind a stream; None for a pipe or a file."""
    if not stream.isatty():
        return None
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        width = 0
    return width or shutil.get_terminal_size().columns


def fitted(line: str, *, width: int | None) -> list[str]:
    """A line of parts as one line, or as several that are no wider than `width`.

    Only a word that is too wide by itself is longer: a broken path could not be copied.
    """
    if width is None or len(line) <= width:
        return [line]
    lead = len(line) - len(line.lstrip())
    if (labelled := _LABELLED.fullmatch(line)) is not None:
        label, text = labelled.groups()
        if max(map(len, text.split())) <= width - len(label) and GAP not in text:
            return _beside(label, text, width=width)
    parts = [part.strip() for part in line.strip().split(GAP) if part.strip()]
    return [" " * lead + row for row in packed(parts, width=width - lead)]


def _beside(label: str, text: str, *, width: int) -> list[str]:
    """A sentence beside its label, so that the label is not alone on a line."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )


def packed(parts: Sequence[str], *, width: int, first: int | None = None) -> list[str]:
    """Parts side by side, in as few lines as possible; later lines are indented.

    Args:
        parts: Are broken between words where one alone is too wide.
        width: Of a line.
        first: Of the first line, which may have something before it; none: as the others.
    """
    rows: list[str] = []
    for part in parts:
        room = first if first is not None and len(rows) == 1 else width
        if rows and len(rows[-1]) + len(GAP) + len(part) <= room:
            rows[-1] += GAP + part
            continue
        room = width if rows or first is None else first
        words = textwrap.wrap(
            part, room - len(_INDENT), break_long_words=False, break_on_hyphens=False
        )
        rows += [_INDENT + word if rows or at else word for at, word in enumerate(words)]
    return rows
