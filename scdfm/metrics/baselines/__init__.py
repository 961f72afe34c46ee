"""Simple predictions that a model must beat: no change, the average change, the sum of changes.

All work on pseudobulk means of log1p expression, fitted on training + validation units. Changes
(deltas) are taken from the control of a unit's own context and added to the control of the
context to predict; with one context that is the same as averaging the means themselves.
"""

from scdfm.metrics.baselines.registry import BASELINES, Baseline, all_baselines
from scdfm.metrics.baselines.units import MeasuredUnits, Prediction, Units

__all__ = ["BASELINES", "Baseline", "MeasuredUnits", "Prediction", "Units", "all_baselines"]
