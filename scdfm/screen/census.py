"""How many conditions have one token, two, three and more."""

from collections import Counter
from collections.abc import Iterable, Mapping

from scdfm.screen.conditions import Condition
from scdfm.screen.names import how_many

_USUAL = {1: "single", 2: "double"}  # said even where there are none
_NAMES = {**_USUAL, 3: "triple"}


def sizes(conditions: Iterable[Condition]) -> dict[int, int]:
    """Conditions by their number of tokens, control left out."""
    return dict(sorted(Counter(len(one) for one in conditions if one).items()))


def spelled(sizes: Mapping[int, int]) -> str:
    """Such as "105 singles, 131 doubles" and, where there are any, "1 triple, 1 of 4 tokens"."""
    return ", ".join(
        how_many(sizes.get(size, 0), _NAMES[size])
        if size in _NAMES
        else f"{sizes[size]} of {size} tokens"
        for size in sorted({*sizes, *_USUAL})
    )
