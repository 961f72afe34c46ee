"""Which values of a journal's line are losses. Loads nothing: the commands' progress asks it."""

from collections.abc import Mapping

_OTHERS = frozenset({"gradient_norm", "learning_rate", "steps_per_second"})


def losses_of(line: Mapping[str, object]) -> dict[str, float]:
    """The loss and its parts by name; nothing in a line of another kind."""
    return {
        name: value
        for name, value in line.items()
        if isinstance(value, float) and name not in _OTHERS
    }
