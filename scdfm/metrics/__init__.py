"""How a prediction is judged: pseudobulk means in, one number per metric out."""

from scdfm.metrics.pseudobulk import Pseudobulks
from scdfm.metrics.table import METRICS, Metric, Score, Table, evaluate, require_metrics

__all__ = [
    "METRICS",
    "Metric",
    "Pseudobulks",
    "Score",
    "Table",
    "evaluate",
    "require_metrics",
]
