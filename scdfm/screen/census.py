"""How many conditions have one token, two, three and more."""

from collections import Counter
from collections.abc import Iterable, Mapping

from scdfm.screen.conditions import Condition

_USUAL = {1: "singles", 2: "doubles"}  # said even where there are none
_MORE = {3: "triples"}


def sizes(conditions: Iterable[Condition]) -> dict[int, int]:
    """Conditions by their number of tokens, control left out."""
    return dict(sorted(Counter(len(one) for one in conditions if one).items()))


def spelled(sizes: Mapping[int, int]) -> str:
    """Such as "105 singles, 131 doubles" and, where there are any, "2 triples, 1 of 4 tokens"."""
    names = {size: _MORE.get(size, f"of {size} tokens") for size in sizes} | _USUAL
    return ", ".join(f"{sizes.get(size, 0)} {names[size]}" for size in sorted(names))
