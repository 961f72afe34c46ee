"""Scores between a baseline and the best that can be hoped for.

A raw score says little: how far is 0.82 from what anybody gets for nothing? On the rescaled one
0 is the baseline and 1 a repeat of the experiment, or perfection; below 0 is worse than the
baseline. Averages are rescaled, never single conditions, whose span is noise.
"""

import math
from collections.abc import Mapping

from scdfm.metrics.registry import METRICS
from scdfm.metrics.table import Score

Scores = Mapping[str, Score]  # by metric

LEAST_SPAN = 1e-9  # a narrower one is rounding
PERFECT = {"overlap_at_N": 1.0, "discrimination_score_l1": 1.0, "mae": 0.0}


def rescale(scores: Scores, *, baseline: Scores, best: Scores) -> dict[str, float]:
    """Each metric that all three have, as a share of the way from the baseline to the best.

    NaN where one of them is undefined, or the best is no better than the baseline: then there is
    no way to go, as where a few cells say little.

    Args:
        scores: Of a prediction, such as `table.overall`.
        baseline: What has the value 0, such as the row `perturbed mean`.
        best: What has the value 1, such as real cells against real cells of the same conditions.

    Source: Miller, Mejia et al. 2025 (dynamic range); cell-eval2, section 0 of its `vcc2026`.
    """
    shared = [name for name in scores if name in baseline and name in best]
    shares = {}
    for name in shared:
        zero, one = baseline[name].value, best[name].value
        better = one > zero if METRICS[name].mode == "max" else one < zero
        shares[name] = _share(scores[name].value, zero=zero, one=one) if better else float("nan")
    return shares


def challenge_scores(scores: Scores, *, baseline: Scores) -> dict[str, float]:
    """The three scores of the Virtual Cell Challenge 2025 and their mean, as it rescales them.

    DES (`overlap_at_N`), PDS (`discrimination_score_l1`) and MAE, 0 for the baseline and 1 for a
    perfect prediction; what is below the baseline or undefined is 0.

    Args:
        scores: Of a prediction.
        baseline: Of the mean of the training conditions' cells.

    Raises:
        ValueError: One of the three is missing.

    Source: cell-eval 0.8.2 `cell-eval score`.
    """
    missing = [name for name in PERFECT if name not in scores or name not in baseline]
    if missing:
        raise ValueError(
            f"the challenge's scores need {', '.join(PERFECT)} of prediction and baseline, got "
            f"no {missing[0]}; ask for the profile vcc"
        )
    shares = {
        name: _share(scores[name].value, zero=baseline[name].value, one=perfect)
        for name, perfect in PERFECT.items()
    }
    kept = {name: 0.0 if math.isnan(share) else max(0.0, share) for name, share in shares.items()}
    return {**kept, "score": sum(kept.values()) / len(kept)}


def _share(value: float, *, zero: float, one: float) -> float:
    span = one - zero
    return (value - zero) / span + 0.0 if abs(span) > LEAST_SPAN else float("nan")  # never -0.0
