"""Conditions: which perturbations a cell received.

A condition is the sorted tuple of its perturbation tokens (genes or drugs); control is ().
Its canonical name joins the tokens with "+".
"""

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

Condition = tuple[str, ...]

CONTROL = "control"
CONTROL_TOKENS = frozenset({"ctrl", "control", "non-targeting", "nt", "dmso", "vehicle"})


def condition(tokens: Iterable[str]) -> Condition:
    """Sort the tokens, so that A with B and B with A are the same condition; A with A is A."""
    return tuple(sorted(set(tokens)))


def name(condition: Condition) -> str:
    """Canonical name: "A", "A+B", or "control" for ()."""
    return "+".join(condition) if condition else CONTROL


def parse(text: str) -> Condition:
    """Read a condition as people write it: any token order, control tokens dropped.

    Source: SCIENCE section 5 ("A+ctrl", "ctrl+A" and "A" are the same single).

    Raises:
        ValueError: A token is empty, as in "A+".
    """
    tokens = [token.strip() for token in text.split("+")]
    if not all(tokens):
        raise ValueError(f"a condition must be tokens joined by '+', got {text!r}; write A or A+B")
    return condition(token for token in tokens if token.lower() not in CONTROL_TOKENS)


def nearest(word: str, known: Collection[str]) -> str:
    """Say which known name was probably meant, as the end of an error message.

    Returns:
        "did you mean 'KLF1'?", or the first known names when none is close.
    """
    folded: dict[str, str] = {}
    for one in sorted(known):
        folded.setdefault(one.lower(), one)
    close = get_close_matches(word.lower(), folded, n=1)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    if not known:
        return "there are none"
    some = ", ".join(sorted(known)[:5])
    return f"known are {some}" + (f" and {len(known) - 5} more" if len(known) > 5 else "")


def resolve(text: str, *, conditions: Mapping[str, Condition], labels: Mapping[str, str]) -> str:
    """Find the canonical name of a condition written in any of its forms.

    Args:
        text: Canonical name, raw label, or tokens in any order.
        conditions: Canonical name to tokens, of the conditions that exist.
        labels: Canonical name to the label as the data writes it.

    Raises:
        ValueError: No such condition; names the nearest.
    """
    if text in conditions:
        return text
    for canonical, label in labels.items():
        if label == text and canonical in conditions:
            return canonical
    canonical = name(parse(text))
    if canonical not in conditions:
        raise ValueError(f"condition {text!r} is not in the data; {nearest(canonical, conditions)}")
    return canonical
