"""Names in messages and lists: the first few, the nearest one, names with commas."""

from collections.abc import Collection, Container, Iterable
from difflib import get_close_matches

from scdfm.screen.spelling import runs

MANY = 12  # names listed
SOME = 5  # names shown beside a question
ALIKE = 0.6  # of the letters
CLEARLY = 0.75  # of those, where the first differs: CENPE is not what NOPE means
COMMA = ","


def closest(word: str, known: Iterable[object]) -> str | None:
    """The known name most similar to a word, in any case; None if none is similar."""
    folded: dict[str, str] = {}
    for one in sorted(map(str, known)):
        folded.setdefault(one.casefold(), one)
    typed = word.casefold()
    for close in get_close_matches(typed, folded, n=SOME, cutoff=ALIKE):
        if close[:1] == typed[:1] or get_close_matches(typed, [close], cutoff=CLEARLY):
            return folded[close]
    return None


def nearest(word: str, known: Collection[str]) -> str:
    """Say which known name was probably meant, as the end of an error message.

    Returns:
        "did you mean 'KLF1'?", or the first known names when none is close.
    """
    close = closest(word, known)
    if close is not None:
        return f"did you mean {close!r}?"
    return f"known are {listed(map(repr, sorted(known)), most=SOME)}" if known else "there are none"


def aside(word: str, known: Iterable[object]) -> str:
    """(nearest: 'condition'), to put behind an unknown name; "" if none is similar."""
    close = closest(word, known)
    return f" (nearest: {close!r})" if close is not None else ""


def listed(names: Iterable[object], *, most: int = MANY) -> str:
    """Some names in a sentence: the first dozen."""
    known = [str(name) for name in names]
    rest = len(known) - most
    return (", ".join(known[:most]) or "none") + (f" and {rest} more" if rest > 0 else "")


def how_many(number: int, what: str) -> str:
    """A number and its noun, such as "1 context" and "2,386 cells"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def apart(text: str, *, known: Container[str]) -> list[str]:
    """Names in a text with commas between them; a known name that holds commas stays whole.

    At every place the longest known name is taken: with `2,4-D` known, `2,4-D,A` is two names.
    """
    return [name for name in runs(text.split(COMMA), known=known, sign=COMMA) if name]
