"""The kinds of split: each chooses what is tested. Source of all but `list`: SCIENCE section 5."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scdfm.screen.conditions import condition, name
from scdfm.screen.names import nearest
from scdfm.screen.randomness import numpy_generator
from scdfm.splits.config import Kind, SplitConfig
from scdfm.splits.files import read_lists
from scdfm.splits.screen import Screen

ADDITIVE_FRACTION = 0.3
HOLDOUT_GENES = 12
HOLDOUT_FRACTION = 0.2
COMBOSCIPLEX_TEST = (
    ("Alvespimycin",),
    ("Dacinostat",),
    ("Alvespimycin", "SRT2104"),
    ("Crizotinib", "Panobinostat"),
    ("Curcumin", "Panobinostat"),
    ("Panobinostat", "SRT1720"),
    ("Panobinostat", "Sorafenib"),
)


class Chosen(NamedTuple):
    """Canonical names a kind decided on; None is left to the common rules."""

    test: tuple[str, ...]
    train: tuple[str, ...] | None = None  # None: all that is not tested
    validation: tuple[str, ...] | None = None  # None: drawn
    context: str | None = None  # held out


def additive(config: SplitConfig, screen: Screen) -> Chosen:
    """Test a share of the doubles; all singles train.

    The order of the labels AS THE DATA WRITES THEM and numpy's legacy shuffle are those of the
    release, so that its folds come out exactly.
    """
    by_label = {screen.words.spell(screen.conditions[name]): name for name in screen.doubles}
    labels = sorted(by_label)
    np.random.RandomState(config.seed + config.fold).shuffle(labels)
    count = _floor((config.fraction or ADDITIVE_FRACTION) * len(labels))
    return Chosen(test=tuple(by_label[label] for label in labels[:count]))


def holdout(config: SplitConfig, screen: Screen) -> Chosen:
    """Test every condition that holds one of a few genes, so that these are never seen.

    Genes come from the doubles where there are any. (The release leaves other doubles of the
    held-out genes in training: a leak, not followed.)
    """
    candidates = sorted(screen.tokens(screen.doubles or screen.singles))
    count = _held_out(config, screen, candidates=len(candidates))
    draw = numpy_generator(config.seed, "holdout genes", config.fold)
    held_out = set(draw.choice(candidates, size=count, replace=False).tolist())
    return Chosen(
        test=tuple(name for name, tokens in screen.conditions.items() if held_out & {*tokens})
    )


def combosciplex(config: SplitConfig, screen: Screen) -> Chosen:
    """Test the seven conditions of the release's ComboSciPlex split."""
    wanted = [name(condition(tokens)) for tokens in COMBOSCIPLEX_TEST]
    missing = [one for one in wanted if one not in screen.conditions]
    if missing:
        raise ValueError(
            f"kind 'combosciplex' tests {len(wanted)} conditions of the ComboSciPlex data, got "
            f"data without {', '.join(missing)}; use kind 'list' with test conditions of your own"
        )
    return Chosen(test=tuple(wanted))


def context(config: SplitConfig, screen: Screen) -> Chosen:
    """Test all conditions of one context; the others train."""
    names = screen.context_names
    if config.context is not None and config.context not in names:
        raise ValueError(
            f"context {config.context!r} holds no condition; {nearest(config.context, names)}"
        )
    if config.context is None and config.fold >= len(names):
        raise ValueError(
            f"fold must be below the number of contexts, {len(names)}, got {config.fold}; "
            "lower it or name a context"
        )
    left_out = config.context if config.context is not None else names[config.fold]
    contexts = {name: set(screen.contexts.get(name, ())) for name in screen.conditions}
    return Chosen(
        test=tuple(name for name, some in contexts.items() if left_out in some),
        train=tuple(name for name, some in contexts.items() if some - {left_out}),
        context=left_out,
    )


def from_file(config: SplitConfig, screen: Screen) -> Chosen:
    """Test what a file of names says."""
    assert config.path is not None
    lists = read_lists(config.path)
    return Chosen(
        test=screen.resolve(lists["test"]),
        train=screen.resolve(lists["train"]) if "train" in lists else None,
        validation=screen.resolve(lists["validation"]) if lists.get("validation") else None,
    )


def from_list(config: SplitConfig, screen: Screen) -> Chosen:
    """Test the conditions named in the configuration itself."""
    assert config.test is not None
    validation = config.validation
    return Chosen(
        test=screen.resolve(config.test),
        validation=None if validation is None else screen.resolve(validation),
    )


KINDS: dict[Kind, Callable[[SplitConfig, Screen], Chosen]] = {
    "additive": additive,
    "holdout": holdout,
    "combosciplex": combosciplex,
    "context": context,
    "file": from_file,
    "list": from_list,
}


def _held_out(config: SplitConfig, screen: Screen, *, candidates: int) -> int:
    """How many genes to hold out of the candidates."""
    if config.genes is None and (config.fraction is not None or not screen.doubles):
        share = _floor((config.fraction or HOLDOUT_FRACTION) * candidates)
        return min(max(1, share), candidates)
    count = config.genes or HOLDOUT_GENES
    if count > candidates:
        raise ValueError(
            f"holdout needs {count} genes to hold out, got {candidates} to choose from; "
            f"set genes to {max(1, candidates // 3)} or so"
        )
    return count


def _floor(value: float) -> int:
    """Round down, but not below a whole number that binary fractions just miss."""
    return math.floor(round(value, 9))
