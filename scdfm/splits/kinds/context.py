"""One context is held out. Source: SCIENCE section 5."""

from typing import TYPE_CHECKING

from scdfm.screen.names import nearest
from scdfm.splits.kinds.kind import Chosen, SplitKind
from scdfm.splits.screen import Screen

if TYPE_CHECKING:
    from scdfm.splits.config import SplitConfig


def context(config: "SplitConfig", screen: Screen) -> Chosen:
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


CONTEXT = SplitKind(context, options=("context",), automatic=True)
