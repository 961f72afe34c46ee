"""Effects of perturbations only as large as the data can tell, added up."""

from scdfm.metrics.baselines.units import MeasuredUnits, Prediction, Units
from scdfm.metrics.shrunken import fit


def shrunken(training: MeasuredUnits, test: Units) -> Prediction:
    """Control plus the change of the shrunken additive base.

    A token never seen counts as the mean change of the unit's context, and the unit is marked
    incomplete.

    Raises:
        ValueError: The noise of the training units is not known.

    Source: SCIENCE.md, section 8.1.
    """
    made = fit(training).delta(test.contexts, test.conditions)
    return Prediction(test.control + made.delta, made.incomplete)
