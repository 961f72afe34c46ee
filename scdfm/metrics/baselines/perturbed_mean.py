"""The average change."""

import numpy as np

from scdfm.metrics.baselines.changes import Changes
from scdfm.metrics.baselines.units import MeasuredUnits, Prediction, Units


def perturbed_mean(training: MeasuredUnits, test: Units) -> Prediction:
    """Control plus the mean change of the training conditions.

    Of those of the unit's own context; where none trained there, over all contexts (units
    averaged within a condition, then conditions).
    """
    changes = Changes(training)
    mean = np.stack([changes.average(context) for context in test.contexts])
    return Prediction(test.control + mean, np.zeros(len(test.conditions), dtype=bool))
