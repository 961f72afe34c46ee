"""The split of the ComboSciPlex data. Source: SCIENCE section 5."""

from typing import TYPE_CHECKING

from scdfm.screen.conditions import condition, name
from scdfm.splits.kinds.kind import Chosen, SplitKind
from scdfm.splits.screen import Screen

if TYPE_CHECKING:
    from scdfm.splits.config import SplitConfig

TEST = (
    ("Alvespimycin",),
    ("Dacinostat",),
    ("Alvespimycin", "SRT2104"),
    ("Crizotinib", "Panobinostat"),
    ("Curcumin", "Panobinostat"),
    ("Panobinostat", "SRT1720"),
    ("Panobinostat", "Sorafenib"),
)


def combosciplex(config: "SplitConfig", screen: Screen) -> Chosen:
    """Test the seven conditions of the release's ComboSciPlex split."""
    wanted = [name(condition(tokens)) for tokens in TEST]
    missing = [one for one in wanted if one not in screen.conditions]
    if missing:
        raise ValueError(
            f"kind 'combosciplex' tests {len(wanted)} conditions of the ComboSciPlex data, got "
            f"data without {', '.join(missing)}; use kind 'list' with test conditions of your own"
        )
    return Chosen(test=tuple(wanted))


COMBOSCIPLEX = SplitKind(combosciplex)
