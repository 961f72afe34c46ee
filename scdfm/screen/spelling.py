"""How a label is spelt: look-alike characters, and the places where a separator may stand."""

import unicodedata
from collections.abc import Container, Sequence

_OPEN, _CLOSE = "([{", ")]}"
_BLANK = ("", "nan", "none", "<na>")  # in any case
_MISSING = ("NA", "N/A", "n/a", "#N/A", "NULL", "null")  # but Na is sodium
_LONGEST = 64  # parts of one name, so that a list of thousands of names is read in no time


def tidy(label: str) -> str:
    """A label in one spelling of its characters, so that labels that look alike are equal.

    Unicode's NFKC: micro sign and Greek mu, composed and decomposed accents, full-width letters,
    spaces that do not break. Characters that nobody sees, of zero width, are left out.
    """
    if label.isascii():
        return label.strip()
    seen = "".join(c for c in label if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", seen).strip()


def is_blank(label: str) -> bool:
    """Whether a label says nothing: empty, or how pandas writes a missing value."""
    text = tidy(label)
    return text.casefold() in _BLANK and text != "none"


def is_blank_beside(label: str) -> bool:
    """Whether a label says nothing beside those of other columns: `none` of a second drug, too."""
    return tidy(label).casefold() in _BLANK or may_be_missing(label)


def may_be_missing(label: str) -> bool:
    """Whether R and spreadsheets write a missing value so; as an only label it may be a name."""
    return tidy(label) in _MISSING


def is_balanced(text: str) -> bool:
    """Whether every bracket is closed."""
    depth = 0
    for sign in text:
        depth += (sign in _OPEN) - (sign in _CLOSE)
        if depth < 0:
            return False
    return depth == 0


def pieces(text: str, *, sign: str) -> list[str]:
    """A text taken apart at a sign, but not within brackets that are closed: `(+)-A+B` is two."""
    parts = text.split(sign)
    if len(parts) == 1 or not is_balanced(text):
        return parts
    joined = parts[:1]
    for part in parts[1:]:
        if is_balanced(joined[-1]):
            joined.append(part)
        else:
            joined[-1] += sign + part
    return joined


def runs(parts: Sequence[str], *, known: Container[str], sign: str) -> list[str]:
    """Parts, stripped, where the longest known run that holds the sign stays one, at each place."""
    found, at = [], 0
    while at < len(parts):
        stop = next(
            (
                end
                for end in range(min(len(parts), at + _LONGEST), at + 1, -1)
                if sign.join(parts[at:end]).strip() in known
            ),
            at + 1,
        )
        found.append(sign.join(parts[at:stop]).strip())
        at = stop
    return found
