"""No change at all."""

import numpy as np

from scdfm.metrics.baselines.units import MeasuredUnits, Prediction, Units


def control(training: MeasuredUnits, test: Units) -> Prediction:
    """No change: the control mean of the unit's context."""
    return Prediction(test.control.copy(), np.zeros(len(test.conditions), dtype=bool))
