"""The sum of the changes that each perturbation makes alone."""

import numpy as np

from scdfm.metrics.baselines.changes import Changes
from scdfm.metrics.baselines.units import MeasuredUnits, Prediction, Units


def additive(training: MeasuredUnits, test: Units) -> Prediction:
    """Control plus the sum of the changes that each token made alone.

    A token's change comes from the unit's own context, else from the mean over the contexts
    where it was measured alone. A token never measured alone adds nothing, and the unit is
    marked incomplete: an unseen single then comes out as no change.

    Source: Ahlmann-Eltze et al. 2025, which defines it for doubles of seen singles only.
    """
    changes = Changes(training)
    mean = test.control.copy()
    incomplete = np.zeros(len(test.conditions), dtype=bool)
    for row, (context, tokens) in enumerate(zip(test.contexts, test.conditions, strict=True)):
        for token in tokens:
            change = changes.single(token, context=context)
            if change is None:
                incomplete[row] = True
            else:
                mean[row] += change
    return Prediction(mean, incomplete)
