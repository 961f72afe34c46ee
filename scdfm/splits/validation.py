"""Which training doubles are set aside for early stopping, pruning and model choice."""

from collections.abc import Collection

from scdfm.screen.randomness import numpy_generator
from scdfm.splits.screen import Screen

SHARE = 10  # one in ten doubles
FEWEST = 2


def validation_doubles(
    train: Collection[str], screen: Screen, *, seed: int, fold: int
) -> tuple[str, ...]:
    """Draw a tenth of the training doubles, at least 2, whose tokens all still occur in the rest.

    Returns:
        Canonical names in name order; empty where there are not 2 such doubles, so that cells
        must validate instead.

    Source: SCIENCE section 5.
    """
    remaining = set(train)
    doubles = sorted(remaining.intersection(screen.doubles))
    numpy_generator(seed, "validation", fold).shuffle(doubles)
    wanted = max(FEWEST, len(doubles) // SHARE)
    drawn: list[str] = []
    for double in doubles:
        if len(drawn) == wanted:
            break
        if screen.tokens([double]) <= screen.tokens(remaining - {double}):
            drawn.append(double)
            remaining.remove(double)
    return tuple(sorted(drawn)) if len(drawn) >= FEWEST else ()
