"""Folds of a split: each validates on another share of what can, and trains on the rest.

What K models learn without their fold tells how long to train and how far to trust the result;
one model then trains on everything outside the test part.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence

from scdfm.screen.randomness import numpy_generator
from scdfm.splits.screen import Screen
from scdfm.splits.split import Split
from scdfm.splits.validation import (
    CONTEXTS_LEFT,
    FEWEST,
    Source,
    Validation,
    measured,
    of_contexts,
    remaining,
    spare_contexts,
)


def fold_splits(split: Split, screen: Screen, *, folds: int) -> tuple[Split, ...]:
    """Divide what can validate among folds.

    Training contexts where the test holds one out; else a list of the user's; else the doubles of
    which training has every single, if there are 2; else doubles whose tokens all still occur in
    the rest of their fold's training; else, where no double can be spared, the conditions
    themselves, which asks for perturbations that training never saw.

    Args:
        split: Whose training and validation parts are divided; its test part is that of each fold.
        screen: What the data hold.
        folds: How many.

    Raises:
        ValueError: Too few can validate.
    """
    whole = [*split.train, *split.validation]
    order = sorted({*whole})
    numpy_generator(split.seed, "validation folds", split.fold).shuffle(order)
    parts = list(_divided(split, screen, order=order, folds=folds))
    return tuple(_fold(split, screen, part=part, folds=folds) for part in parts)


def whole_split(split: Split) -> Split:
    """The split whose training part holds the validation part, too, and on which none validates."""
    return split.model_copy(
        update={
            "train": tuple(sorted({*split.train, *split.validation})),
            "validation": (),
            "validation_kind": "none",
            "validation_source": "folds",
            "validation_contexts": (),
        }
    )


def _divided(
    split: Split, screen: Screen, *, order: Sequence[str], folds: int
) -> Iterator[Validation]:
    """What validates in each fold; `order` is that in which conditions are dealt."""
    if split.validation_source == "listed":
        chosen = [name for name in order if name in split.validation]
        yield from _dealt("listed", chosen, folds, what="listed validation conditions")
    elif split.context is not None:
        yield from _contexts(split, screen, order=order, folds=folds)
    elif len(known := measured(_doubles(order, screen), order, screen)) >= FEWEST:
        what = "doubles of which training has every single"
        yield from _dealt("measured", known, folds, what=what)
    elif len(spared := _spared(_doubles(order, screen), order, screen, folds=folds)) >= FEWEST:
        _require(folds, len(spared), what="doubles that training can spare")
        groups = [[name for name in spared if spared[name] == number] for number in range(folds)]
        yield from (Validation("doubles", tuple(sorted(group))) for group in groups)
    else:
        yield from _dealt("conditions", order, folds, what="training conditions")


def _contexts(
    split: Split, screen: Screen, *, order: Collection[str], folds: int
) -> Iterator[Validation]:
    contexts = spare_contexts(order, screen, held_out=split.context)
    if not contexts:
        raise ValueError(
            f"folds of a context split leave training contexts out and {CONTEXTS_LEFT} must "
            "remain, which this screen does not allow; leave validation.folds out"
        )
    numpy_generator(split.seed, "validation folds of contexts", split.fold).shuffle(contexts)
    training = {one for name in order for one in screen.contexts[name]} - {split.context}
    for part in _dealt("contexts", contexts, folds, what="training contexts"):
        away = part.conditions
        if len(training) - len(away) < CONTEXTS_LEFT:
            raise ValueError(
                f"validation.folds is {folds}, so a fold leaves {len(away)} of {len(training)} "
                f"training contexts out, and {CONTEXTS_LEFT} must remain; set it to {len(contexts)}"
            )
        yield of_contexts(away, order, screen)


def _dealt(source: Source, names: Sequence[str], folds: int, *, what: str) -> list[Validation]:
    """Deal names to folds, one after the other."""
    _require(folds, len(names), what=what)
    return [Validation(source, tuple(sorted(names[number::folds]))) for number in range(folds)]


def _require(folds: int, count: int, *, what: str) -> None:
    """Make sure that every fold gets one.

    Raises:
        ValueError: There are fewer than folds.
    """
    if count < folds:
        raise ValueError(
            f"validation.folds is {folds} and the split has {count} {what} to divide; "
            + (f"set it to {count} or less" if count >= FEWEST else "leave it out")
        )


def _doubles(order: Iterable[str], screen: Screen) -> list[str]:
    return [name for name in order if len(screen.conditions[name]) > 1]


def _spared(
    doubles: Iterable[str], train: Collection[str], screen: Screen, *, folds: int
) -> dict[str, int]:
    """A fold for each double that can be spared: every token still occurs in the fold's rest."""
    groups: list[list[str]] = [[] for _ in range(folds)]
    for double in doubles:
        for group in sorted(groups, key=len):
            rest = {*train} - {*group, double}
            if screen.tokens([*group, double]) <= screen.tokens(rest):
                group.append(double)
                break
    return {name: number for number, group in enumerate(groups) for name in group}


def _fold(split: Split, screen: Screen, *, part: Validation, folds: int) -> Split:
    whole = {*split.train, *split.validation}
    train = remaining(whole, part, screen, held_out=split.context)
    changes = {
        "train": tuple(sorted(train)),
        "validation": part.conditions,
        "validation_kind": "conditions",
        "validation_source": part.source,
        "validation_contexts": part.contexts,
        "validation_folds": folds,
    }
    return Split.model_validate({**split.model_dump(), **changes})
