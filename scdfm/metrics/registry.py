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
        # of means
        "mse": "scdfm.metrics.errors:MSE",
        "mse_corrected": "scdfm.metrics.errors:MSE_CORRECTED",
        "mae": "scdfm.metrics.errors:MAE",
        "l2": "scdfm.metrics.errors:L2",
        "pearson_delta": "scdfm.metrics.correlation:PEARSON_DELTA",
        "discrimination_score_l1": "scdfm.metrics.discrimination:L1",
        "discrimination_score_l2": "scdfm.metrics.discrimination:L2",
        "discrimination_score_cosine": "scdfm.metrics.discrimination:COSINE",
        "discrimination_score_l1_absolute": "scdfm.metrics.discrimination:L1_ABSOLUTE",
        "discrimination_score_l2_absolute": "scdfm.metrics.discrimination:L2_ABSOLUTE",
        "discrimination_score_cosine_absolute": "scdfm.metrics.discrimination:COSINE_ABSOLUTE",
        "pds_cosine": "scdfm.metrics.corrected:PDS_COSINE",
        # of means, beside the training conditions
        "pearson_delta_pertmean": "scdfm.metrics.correlation:PEARSON_DELTA_PERTMEAN",
        "pearson_delta_pertmean_top20": "scdfm.metrics.correlation:PEARSON_DELTA_PERTMEAN_TOP20",
        "weighted_mse": "scdfm.metrics.weighted:WEIGHTED_MSE",
        "weighted_r2_delta": "scdfm.metrics.weighted:WEIGHTED_R2_DELTA",
        "mse_ratio": "scdfm.metrics.corrected:MSE_RATIO",
        # of differential expression
        "de_spearman_sig": "scdfm.metrics.de.agreement:SPEARMAN_SIG",
        "de_spearman_lfc_sig": "scdfm.metrics.de.agreement:SPEARMAN_LFC_SIG",
        "de_direction_match": "scdfm.metrics.de.agreement:DIRECTION_MATCH",
        "de_sig_genes_recall": "scdfm.metrics.de.overlap:RECALL",
        "overlap_at_N": "scdfm.metrics.de.overlap:OVERLAP_AT_N",
        "overlap_at_50": "scdfm.metrics.de.overlap:OVERLAP_AT_50",
        "overlap_at_100": "scdfm.metrics.de.overlap:OVERLAP_AT_100",
        "precision_at_N": "scdfm.metrics.de.overlap:PRECISION_AT_N",
        "pr_auc": "scdfm.metrics.de.agreement:PR_AUC",
        "pr_auc_pooled": "scdfm.metrics.de.agreement:PR_AUC_POOLED",
        "direction_fidelity": "scdfm.metrics.de.direction:DIRECTION_FIDELITY",
        "direction_reach": "scdfm.metrics.de.direction:DIRECTION_REACH",
        "sig_jaccard": "scdfm.metrics.de.overlap:JACCARD",
        "lfc_nmae": "scdfm.metrics.de.agreement:LFC_NMAE",
        # of cells
        "mmd2": "scdfm.metrics.distribution:MMD2",
        "energy_distance": "scdfm.metrics.distribution:ENERGY_DISTANCE",
        "wasserstein1": "scdfm.metrics.distribution:WASSERSTEIN1",
        "variance_error": "scdfm.metrics.distribution:VARIANCE_ERROR",
        "zero_fraction_error": "scdfm.metrics.distribution:ZERO_FRACTION_ERROR",
    },
)


def _of_rounds(name: str) -> str:
    if not METRICS[name].of_rounds:
        known = [other for other, metric in METRICS.items() if metric.of_rounds]
        raise ValueError(f"validation does not compute {name}; choose one of " + ", ".join(known))
    return name


RoundMetric = Annotated[str, METRICS, AfterValidator(_of_rounds)]
"""Name of a metric that a validation round computes: of means, or of a unit's cells alone."""
