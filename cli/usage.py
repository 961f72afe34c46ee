"""Command lines that can be copied: under a command's options, and where one says what is next."""

import shlex
from collections.abc import Sequence

_SHOWN = 74  # columns of most terminals are 80, and --help indents
_INDENT = "  "  # of what goes on
_GOES_ON = " \\"


def example(*commands: str) -> str:
    """Commands as `--help` shows them, in lines that a terminal does not break."""
    # After \b a paragraph keeps its line ends.
    rows = [
        row
        for command in commands
        for row in copied(shlex.split(command, posix=False), width=_SHOWN)
    ]
    return "\n".join(("\b", "Example:", *(f"{_INDENT}{row}" for row in rows)))


def copied(words: Sequence[str], *, width: int | None) -> list[str]:
    """A command in lines no wider than `width`, each but the last ending in a backslash.

    An option stays beside its value. Only a word that is too wide by itself makes a line longer.

    Args:
        words: The command's words, as a shell takes them.
        width: Columns; None for one line.
    """
    if width is None or len(" ".join(words)) <= width:
        return [" ".join(words)]
    pieces: list[list[str]] = [[]]
    for word in words:
        if word.startswith("-"):
            pieces.append([])
        pieces[-1].append(word)
    rows = [""]
    for piece in pieces:
        room = width - len(_INDENT + _GOES_ON)
        for part in [" ".join(piece)] if len(" ".join(piece)) <= room else piece:
            if rows[-1] and len(f"{rows[-1]} {part}{_GOES_ON}") > width:
                rows.append(f"{_INDENT}{part}")
            else:
                rows[-1] = f"{rows[-1]} {part}" if rows[-1] else part
    return [f"{row}{_GOES_ON}" for row in rows[:-1]] + [rows[-1]]
