"""How a prediction is judged: pseudobulk means in, one number per metric out."""

from scdfm.metrics.metric import Metric
from scdfm.metrics.pseudobulk import Pseudobulks
from scdfm.metrics.registry import METRICS
from scdfm.metrics.table import Score, Table, evaluate, round_scores

__all__ = [
    "METRICS",
    "Metric",
    "Pseudobulks",
    "Score",
    "Table",
    "evaluate",
    "round_scores",
]
