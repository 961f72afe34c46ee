"""Every metric by its name in run files, sweeps and tables, one line each."""

from typing import Annotated

from pydantic import AfterValidator

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
        "overlap_at_N": "scdfm.metrics.de.overlap:OVERLAP_AT_N",
        "overlap_at_50": "scdfm.metrics.de.overlap:OVERLAP_AT_50",
        "overlap_at_100": "scdfm.metrics.de.overlap:OVERLAP_AT_100",
        "precision_at_N": "scdfm.metrics.de.overlap:PRECISION_AT_N",
        "de_sig_genes_recall": "scdfm.metrics.de.overlap:RECALL",
        "sig_jaccard": "scdfm.metrics.de.overlap:JACCARD",
        "mmd2": "scdfm.metrics.distribution:MMD2",
        "energy_distance": "scdfm.metrics.distribution:ENERGY_DISTANCE",
        "wasserstein1": "scdfm.metrics.distribution:WASSERSTEIN1",
        "variance_error": "scdfm.metrics.distribution:VARIANCE_ERROR",
        "zero_fraction_error": "scdfm.metrics.distribution:ZERO_FRACTION_ERROR",
    },
)


def _of_means(name: str) -> str:
    if not METRICS[name].of_means:
        known = [other for other, metric in METRICS.items() if metric.of_means]
        raise ValueError(
            f"{name} needs more than the means that validation keeps; choose one of "
            + ", ".join(known)
        )
    return name


RoundMetric = Annotated[str, METRICS, AfterValidator(_of_means)]
"""Name of a metric that a validation round can compute: it needs means and nothing else."""
