"""How a prediction is judged: means of units in, one number per metric out.

`scdfm.metrics.gather` makes evidence of cells, for metrics that need more than means.
"""

from scdfm.metrics.evidence import CellFacts, Evidence, Training
from scdfm.metrics.metric import Metric
from scdfm.metrics.profiles import PROFILES, known_of, metrics_of
from scdfm.metrics.pseudobulk import Pseudobulks
from scdfm.metrics.registry import METRICS
from scdfm.metrics.table import Score, Table, evaluate, round_scores
from scdfm.metrics.units import UnitCells

__all__ = [
    "METRICS",
    "PROFILES",
    "CellFacts",
    "Evidence",
    "Metric",
    "Pseudobulks",
    "Score",
    "Table",
    "Training",
    "UnitCells",
    "evaluate",
    "known_of",
    "metrics_of",
    "round_scores",
]
