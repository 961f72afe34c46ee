"""A kind of split: it chooses what is tested, and says which options it reads."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from scdfm.splits.screen import Screen

if TYPE_CHECKING:
    from scdfm.splits.config import SplitConfig


class Chosen(NamedTuple):
    """Canonical names that a kind decided on; None: the common rules decide."""

    test: tuple[str, ...]
    train: tuple[str, ...] | None = None  # None: all that is not tested
    validation: tuple[str, ...] | None = None  # None: drawn
    context: str | None = None  # held out


@dataclass(frozen=True)
class SplitKind:
    """A way to divide the conditions of a screen.

    Attributes:
        choose: Pure function of the options and the names in the data.
        options: Fields of `SplitConfig` that it reads, besides seed and fold; others are refused.
        needs: Those that must be given, each with an example of a value.
        automatic: It needs the names in the data only, no list of a user, so it may be proposed
            where another kind leaves a part empty.
    """

    choose: Callable[["SplitConfig", Screen], Chosen]
    options: tuple[str, ...] = ()
    needs: tuple[tuple[str, str], ...] = ()
    automatic: bool = False


def whole(value: float) -> int:
    """Round down, but a number just below a whole one becomes that whole number."""
    return math.floor(round(value, 9))
