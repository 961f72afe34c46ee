"""The sum of the changes that each perturbation makes alone, scaled for combinations."""

import numpy as np

from scdfm.metrics.baselines.additive import additive
from scdfm.metrics.baselines.units import MeasuredUnits, Prediction, Units
from scdfm.metrics.shrunken.design import measured, several
from scdfm.metrics.shrunken.scale import additivity


def scaled(training: MeasuredUnits, test: Units) -> Prediction:
    """Control plus c times the additive change for combinations; singles are not scaled.

    c is the slope of a regression, without an intercept, of training combinations on the sums of
    their singles, over all genes; 1 with fewer than 3 combinations whose singles are all measured.

    Source: SCIENCE.md, section 8.1 ("one scale c alone").
    """
    sums = additive(training, test)
    scale = additivity(measured(training)).scale
    each = np.where(several(test.conditions), scale, 1.0)[:, None]
    return Prediction(test.control + each * (sums.mean - test.control), sums.incomplete)
