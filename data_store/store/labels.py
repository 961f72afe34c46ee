"""Condition labels: what a data set writes, and the one name we give it.

A label names the perturbed tokens (genes or drugs) of a cell, joined by `+`. Control words are no
tokens, so `A+ctrl`, `ctrl+A` and `A` are the same condition, and a label of control words alone
is the control.
"""

from collections.abc import Collection

Tokens = tuple[str, ...]
"""The sorted, distinct perturbed tokens of a condition; () is the control."""

CONTROL_LABELS: tuple[str, ...] = ("control", "ctrl", "non-targeting", "nt", "dmso", "vehicle")
"""Words that mean "not perturbed", compared without regard to case."""

CONTROL_NAME = "control"
SEPARATOR = "+"


def parse(
    label: str,
    *,
    controls: Collection[str] = CONTROL_LABELS,
    separator: str = SEPARATOR,
) -> Tokens:
    """Read the perturbed tokens of a label, sorted; () when it names the control.

    Raises:
        ValueError: The label is empty or has an empty part, as in `A+`.
    """
    unperturbed = {word.casefold() for word in controls}
    if label.strip().casefold() in unperturbed:
        return ()
    words = [word.strip() for word in label.split(separator)]
    if not all(words):
        raise ValueError(
            f"expected tokens joined by {separator!r}, got the label {label!r} with an empty part; "
            "rename it in the condition column"
        )
    return tuple(sorted({word for word in words if word.casefold() not in unperturbed}))


def canonical(tokens: Tokens) -> str:
    """The one name of a condition: sorted tokens joined by `+`, or `control`."""
    return SEPARATOR.join(sorted(tokens)) or CONTROL_NAME
