"""What is set aside for early stopping, pruning, model choice and the weight of the flow.

A validation unit should ask the question that the test asks: for a new combination, doubles of
which training measures every single alone; for a new context, a training context that is left out.
Where the data hold no such units, others validate, and a line says so.
"""

from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

from scdfm.screen.randomness import numpy_generator
from scdfm.splits.screen import Screen

SHARE = 10  # one in ten doubles
FEWEST = 2
ENOUGH = 4  # doubles; fewer are said
CONTEXTS_LEFT = 2  # training contexts that remain beside one that validates

Source = Literal["listed", "measured", "doubles", "contexts", "conditions", "cells", "folds"]


class Validation(NamedTuple):
    """What validates."""

    source: Source
    conditions: tuple[str, ...] = ()  # in name order
    contexts: tuple[str, ...] = ()  # left out of training


def drawn(
    train: Collection[str], screen: Screen, *, seed: int, fold: int, held_out: str | None
) -> Validation:
    """Draw what validates.

    A context where the test holds one out and at least 2 others remain; else a tenth of the
    training doubles with all singles measured alone in training, at least 4 if there are so many;
    where there are not 2 of those, as many of the doubles whose tokens all still occur in the
    rest; where there are not 2 of these, some cells of each training condition.

    Args:
        train: Conditions to draw from.
        screen: What the data hold.
        seed: Of the split.
        fold: Of the split.
        held_out: The context that is tested, if a whole one is.

    Source: SCIENCE sections 5 and 8 (4).
    """
    contexts = spare_contexts(train, screen, held_out=held_out)
    if contexts:
        draw = numpy_generator(seed, "validation context", fold)
        return of_contexts([contexts[draw.integers(len(contexts))]], train, screen)
    order = sorted({*train}.intersection(screen.doubles))
    numpy_generator(seed, "validation", fold).shuffle(order)
    known = measured(order, train, screen)
    if len(known) >= FEWEST:
        wanted = max(ENOUGH, len(known) // SHARE)
        return Validation("measured", tuple(sorted(known[:wanted])))
    spared = spare(order, train, screen, most=max(FEWEST, len(order) // SHARE))
    if len(spared) >= FEWEST:
        return Validation("doubles", tuple(sorted(spared)))
    return Validation("cells")


def measured(doubles: Iterable[str], train: Collection[str], screen: Screen) -> list[str]:
    """Those doubles of which training measures every single alone, in the same order."""
    singles = screen.tokens({*train}.intersection(screen.singles))
    return [double for double in doubles if singles.issuperset(screen.conditions[double])]


def spare(
    doubles: Iterable[str], train: Collection[str], screen: Screen, *, most: int
) -> list[str]:
    """Take doubles in their order whose tokens all still occur in what remains of training."""
    remaining, taken = set(train), list[str]()
    for double in doubles:
        if len(taken) == most:
            break
        if screen.tokens([double]) <= screen.tokens(remaining - {double}):
            taken.append(double)
            remaining.remove(double)
    return taken


def spare_contexts(train: Collection[str], screen: Screen, *, held_out: str | None) -> list[str]:
    """Contexts that may be left out of training, sorted; empty unless enough would remain.

    Each shares a condition with the others, as the context that is tested does.
    """
    if held_out is None:
        return []
    conditions = _by_context(train, screen, held_out=held_out)
    if len(conditions) <= CONTEXTS_LEFT:
        return []

    def shared(context: str) -> bool:
        elsewhere = {name for one, some in conditions.items() if one != context for name in some}
        return bool(conditions[context] & elsewhere)

    return [context for context in sorted(conditions) if shared(context)]


def of_contexts(contexts: Collection[str], train: Collection[str], screen: Screen) -> Validation:
    """Validate on all training conditions of some contexts."""
    inside = [name for name in train if {*contexts}.intersection(screen.contexts[name])]
    return Validation("contexts", tuple(sorted(inside)), tuple(sorted(contexts)))


def remaining(
    train: Collection[str], validation: Validation, screen: Screen, *, held_out: str | None
) -> set[str]:
    """Conditions that still train."""
    if not validation.contexts:
        return {*train} - {*validation.conditions}
    away = {*validation.contexts, held_out}
    return {name for name in train if {*screen.contexts[name]} - away}


def _by_context(train: Collection[str], screen: Screen, *, held_out: str) -> dict[str, set[str]]:
    """Training conditions of each context but the one that is tested."""
    found: dict[str, set[str]] = {}
    for name in train:
        for context in screen.contexts.get(name, ()):
            if context != held_out:
                found.setdefault(context, set()).add(name)
    return found
