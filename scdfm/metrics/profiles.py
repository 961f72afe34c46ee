"""Which metrics are computed together: those that are comparable with a paper or a challenge."""

from collections.abc import Sequence
from typing import NamedTuple

from scdfm.metrics.pseudobulk import Pseudobulks
from scdfm.metrics.registry import METRICS
from scdfm.screen.names import nearest


class Profile(NamedTuple):
    """A list of metrics, and how they are computed.

    Attributes:
        metrics: Their names.
        cells: Cells to generate for each condition; none: as usual.
        rescaled: Whether scores are shown on the scale from a baseline to the best value, too.
    """

    metrics: tuple[str, ...]
    cells: int | None = None
    rescaled: bool = False


_ERRORS = ("mse", "mae", "l2", "pearson_delta")
_DE = (
    "de_spearman_sig",
    "de_spearman_lfc_sig",
    "de_direction_match",
    "de_sig_genes_recall",
    "overlap_at_N",
    "overlap_at_50",
    "overlap_at_100",
    "precision_at_N",
)

PROFILES: dict[str, Profile] = {
    # The tables of scDFM (Yu et al. 2026), made with cell-eval 0.5.42 and 128 cells.
    "paper": Profile(
        metrics=(
            *_ERRORS,
            "discrimination_score_l1_absolute",
            "discrimination_score_l2_absolute",
            "discrimination_score_cosine_absolute",
            *_DE,
            "pr_auc_pooled",
        ),
        cells=128,
    ),
    # The Virtual Cell Challenge 2025: DES, PDS, MAE.
    "vcc": Profile(
        metrics=("overlap_at_N", "discrimination_score_l1", "mae"),
        rescaled=True,
    ),
    # The six scores of the challenge of 2026, as far as they need no counts.
    "vcc2026": Profile(
        metrics=(
            "pds_cosine",
            "mse_ratio",
            "direction_fidelity",
            "direction_reach",
            "sig_jaccard",
            "lfc_nmae",
        ),
        rescaled=True,
    ),
}


def metrics_of(
    *, profile: str | None = None, metrics: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Names of the metrics that were asked for: a profile's, further ones, or the usual ones.

    Raises:
        ValueError: A profile or a metric does not exist (names the nearest).
    """
    if profile is not None and profile not in PROFILES:
        raise ValueError(f"profile {profile!r} does not exist; {nearest(profile, [*PROFILES])}")
    named = [METRICS.require(name) for name in metrics or ()]
    if profile is None and metrics is None:
        return tuple(name for name, metric in METRICS.items() if not metric.on_request)
    first = () if profile is None else PROFILES[profile].metrics
    return tuple(dict.fromkeys([*first, *named]))


def known_of(units: Pseudobulks, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Those of the metrics, or of the usual ones, that these units have what it takes for."""
    asked = metrics_of() if names is None else names
    return tuple(name for name in asked if METRICS[name].known_of(units))
