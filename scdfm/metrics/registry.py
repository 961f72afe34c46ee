"""Every metric by its name in run files, sweeps and tables, one line each."""

from scdfm.metrics.metric import Metric
from scdfm.screen.registry import Registry

METRICS: Registry[Metric] = Registry(
    "metric",
    group="scdfm.metrics",
    of=Metric,
    own={
        "mse": "scdfm.metrics.errors:MSE",
        "mae": "scdfm.metrics.errors:MAE",
        "l2": "scdfm.metrics.errors:L2",
        "pearson_delta": "scdfm.metrics.correlation:PEARSON_DELTA",
        "discrimination_score_l1": "scdfm.metrics.discrimination:L1",
        "discrimination_score_l2": "scdfm.metrics.discrimination:L2",
        "discrimination_score_cosine": "scdfm.metrics.discrimination:COSINE",
    },
)
