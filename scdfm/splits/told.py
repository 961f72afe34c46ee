"""What a split says of its validation part, in words."""

from scdfm.screen.names import how_many
from scdfm.splits.split import Split
from scdfm.splits.validation import CONTEXTS_LEFT, ENOUGH, FEWEST

_UNLIKE = "the score may differ from that of test conditions"


def validation_in_words(split: Split) -> str:
    """What validates, for a line of a table."""
    count = how_many(len(split.validation), "condition")
    if split.validation_kind == "none":
        return "by folds" if split.validation_source == "folds" else "none"
    if split.validation_kind == "cells":
        return f"{split.validation_fraction:.0%} of the cells of each training condition"
    if split.validation_contexts:
        return f"{count} in context {', '.join(split.validation_contexts)}"
    return {
        "measured": f"{count} whose perturbations are also in training one by one",
        "doubles": f"{count}, with perturbations that are not in training one by one",
    }.get(split.validation_source or "", count)


def validation_note(split: Split) -> str | None:
    """Why validation asks less than it should; None where it does not, or of a fold."""
    what, source = validation_in_words(split), split.validation_source
    if split.validation_folds is not None:
        return None
    if source == "measured" and split.context is None and not split.validates_as_tested:
        return f"validates on {what}, unlike those of most test conditions; {_UNLIKE}"
    if source == "measured" and len(split.validation) < ENOUGH:
        return (
            f"validates on {len(split.validation)} doubles, not {ENOUGH}: there are no more of "
            "which training has every single alone"
        )
    if source not in ("doubles", "cells", "measured") or split.validates_as_tested:
        return None
    if split.context is not None:
        return (
            f"validates on {what}: leaving another context out would leave fewer than "
            f"{CONTEXTS_LEFT} to train on; {_UNLIKE}"
        )
    if source == "doubles":
        return (
            f"validates on {what}: training has every single of fewer than {FEWEST} doubles; "
            f"{_UNLIKE}"
        )
    return f"validates on {what}: no conditions can be spared; {_UNLIKE}"
