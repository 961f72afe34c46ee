"""Some doubles are tested; all singles train. Source: SCIENCE section 5."""

from typing import TYPE_CHECKING

import numpy as np

from scdfm.splits.kinds.kind import Chosen, SplitKind, whole
from scdfm.splits.screen import Screen

if TYPE_CHECKING:
    from scdfm.splits.config import SplitConfig

FRACTION = 0.3  # of the doubles


def additive(config: "SplitConfig", screen: Screen) -> Chosen:
    """Test a share of the doubles; all singles train.

    The order of the labels AS THE DATA WRITES THEM and numpy's legacy shuffle are those of the
    release, so that its folds come out exactly.
    """
    by_label = {screen.words.spell(screen.conditions[name]): name for name in screen.doubles}
    labels = sorted(by_label)
    np.random.RandomState(config.seed + config.fold).shuffle(labels)
    count = whole((config.fraction or FRACTION) * len(labels))
    return Chosen(test=tuple(by_label[label] for label in labels[:count]))


ADDITIVE = SplitKind(additive, options=("fraction",), automatic=True)
