"""From a configuration and the names in the data to a split."""

from collections.abc import Collection, Mapping

from pydantic import ValidationError

from scdfm.screen.census import sizes, spelled
from scdfm.screen.conditions import Condition, Words
from scdfm.screen.names import how_many, nearest
from scdfm.splits import files
from scdfm.splits.config import SplitConfig
from scdfm.splits.kinds import KINDS, Chosen
from scdfm.splits.screen import Screen
from scdfm.splits.split import Split, first_fault
from scdfm.splits.validation import Validation, drawn, remaining

WORDS = {1: "single", 2: "double", 3: "triple"}


def make_split(
    config: SplitConfig,
    *,
    conditions: Mapping[str, Condition],
    words: Words,
    contexts: Mapping[str, Collection[str]],
) -> Split:
    """Divide the conditions of a screen into train, validation and test.

    Args:
        config: What to do.
        conditions: Canonical name to sorted tokens; control, if there, is left out.
        words: How the data write conditions.
        contexts: Canonical name to the contexts that hold the condition.

    Raises:
        ValueError: A part would be empty (names a kind that would work), a condition or context
            is unknown (names the nearest), or parts overlap.
        FileNotFoundError: The file of a split of kind `file` is not there.
    """
    perturbed = {one: tokens for one, tokens in conditions.items() if tokens}
    screen = Screen(conditions=perturbed, words=words, contexts=contexts)
    saved = _saved(config, screen)
    if saved is not None:
        return saved
    chosen = _choose(config, screen)
    train = _training(chosen, screen)
    for part, names in (("train", train), ("test", chosen.test)):
        if not names:
            raise ValueError(
                f"split {config.kind!r} leaves no condition to {part} ({_census(screen)}); "
                f"{_workable(config, screen)}"
            )
    return _finish(config, screen, chosen=chosen, train=train)


def _choose(config: SplitConfig, screen: Screen) -> Chosen:
    """What the kind decides on.

    Raises:
        ValueError: It cannot, or it names a condition that is not in the data.
    """
    chosen = KINDS[config.kind].choose(config, screen)
    for names in (chosen.test, chosen.train or (), chosen.validation or ()):
        unknown = next((name for name in names if name not in screen.conditions), None)
        if unknown is not None:
            raise ValueError(
                f"split kind {config.kind!r} chose condition {unknown!r}, which is not in the "
                f"data; {nearest(unknown, screen.conditions)}"
            )
    return chosen


def _saved(config: SplitConfig, screen: Screen) -> Split | None:
    """Return the split that a file of kind `file` holds, as `Split.save` wrote it."""
    if config.kind != "file" or config.path is None or "kind" not in files.read(config.path):
        return None
    split = Split.load(config.path)
    screen.resolve([*split.train, *split.validation, *split.test])
    held_out = [split.context] if split.context is not None else []
    for context in (*held_out, *split.validation_contexts):
        if context not in screen.context_names:
            raise ValueError(
                f"the split in {config.path} holds out context {context!r}, which is not in "
                f"the data; {nearest(context, screen.context_names)}"
            )
    return split


def _training(chosen: Chosen, screen: Screen) -> set[str]:
    """Conditions to train on, those that will be drawn for validation included."""
    if chosen.train is not None:
        return {*chosen.train}
    return {*screen.conditions} - {*chosen.test} - {*(chosen.validation or ())}


def _finish(config: SplitConfig, screen: Screen, *, chosen: Chosen, train: set[str]) -> Split:
    """Draw the validation part where it is not given, and write everything down."""
    held_out = chosen.context
    if chosen.validation is not None:
        validation = Validation("listed", tuple(sorted(chosen.validation)))
    else:
        validation = drawn(train, screen, seed=config.seed, fold=config.fold, held_out=held_out)
        train = remaining(train, validation, screen, held_out=held_out)
    try:
        return Split(
            kind=config.kind,
            seed=config.seed,
            fold=config.fold,
            train=tuple(sorted(train)),
            validation=validation.conditions,
            test=tuple(sorted(chosen.test)),
            tags=_tags(chosen, screen, seen=train | {*validation.conditions}),
            validation_kind="conditions" if validation.conditions else "cells",
            validation_source=validation.source,
            validation_contexts=validation.contexts,
            context=held_out,
        )
    except ValidationError as cause:
        raise ValueError(first_fault(cause)) from cause


def _tags(chosen: Chosen, screen: Screen, *, seen: set[str]) -> dict[str, str]:
    """For each test condition, say how much of it training has seen.

    `single`; `double_1_unseen` (one of its tokens is in no training condition); `seen` for a
    condition that trains in another context.
    """
    known = screen.tokens(seen)

    def tag(name: str) -> str:
        tokens = screen.conditions[name]
        if name in seen:
            return "seen"
        if len(tokens) == 1:
            return "single"
        unseen = sum(token not in known for token in tokens)
        return f"{WORDS.get(len(tokens), f'{len(tokens)}_tokens')}_{unseen}_unseen"

    return {name: tag(name) for name in sorted(chosen.test)}


def _census(screen: Screen) -> str:
    contexts = how_many(len(screen.context_names), "context")
    return f"{spelled(sizes(screen.conditions.values()))}, {contexts}"


def _workable(config: SplitConfig, screen: Screen) -> str:
    """Name a kind that can divide these conditions, found by trying."""
    for kind in (name for name, one in KINDS.items() if one.automatic):
        attempt = SplitConfig(kind=kind, seed=config.seed)
        try:
            chosen = _choose(attempt, screen)
        except ValueError:
            continue
        if kind != config.kind and chosen.test and _training(chosen, screen):
            return f"use kind {kind!r}"
    if len(screen.conditions) > 1:
        return "use kind 'list' with test conditions of your own"
    return "one condition in one context cannot be divided; add data"
