"""Names in an error: some of them, and the one that was perhaps meant."""

from collections.abc import Iterable
from difflib import get_close_matches

_MANY = 12  # names listed
_ALIKE = 0.6  # of the letters


def listed(names: Iterable[object]) -> str:
    """Some names: the first dozen."""
    known = [str(name) for name in names]
    rest = len(known) - _MANY
    return (", ".join(known[:_MANY]) or "none") + (f" and {rest} more" if rest > 0 else "")


def nearest(wanted: str, names: Iterable[object]) -> str:
    """(nearest: 'condition'), to stand behind a name that is not there; nothing when none is near."""
    known = {str(name).casefold(): str(name) for name in names}
    near = get_close_matches(wanted.casefold(), list(known), n=1, cutoff=_ALIKE)
    return f" (nearest: {known[near[0]]!r})" if near else ""
