"""Facts of rescaled scores."""

import math

import pytest

from scdfm.metrics.rescaled import challenge_scores, rescale
from scdfm.metrics.table import Score


def scores(**values: float) -> dict[str, Score]:
    return {name: Score(value=one, conditions=3, undefined=0) for name, one in values.items()}


def test_the_baseline_is_0_and_a_replicate_1_whichever_way_is_better() -> None:
    low, high = scores(mse=0.4, overlap_at_N=0.1, l2=3), scores(mse=0.2, overlap_at_N=0.6)
    assert set(rescale(low, baseline=low, best=high).values()) == {0}
    assert set(rescale(high, baseline=low, best=high).values()) == {1}
    found = rescale(scores(mse=0.45, overlap_at_N=0.35), baseline=low, best=high)
    assert found == pytest.approx({"mse": -0.25, "overlap_at_N": 0.5})


def test_without_a_range_there_is_no_scale() -> None:
    same = scores(mse=0.4, mae=math.nan)
    assert all(math.isnan(one) for one in rescale(same, baseline=same, best=same).values())


def test_where_real_cells_do_no_better_than_the_baseline_there_is_no_scale() -> None:
    few, base = scores(mse=0.5, overlap_at_N=0.2), scores(mse=0.4, overlap_at_N=0.3)
    assert all(math.isnan(one) for one in rescale(base, baseline=base, best=few).values())


def test_the_challenge_of_2025_takes_perfection_for_1_and_nothing_below_the_baseline() -> None:
    found = challenge_scores(
        scores(overlap_at_N=0.3, discrimination_score_l1=0.45, mae=0.02),
        baseline=scores(overlap_at_N=0.1, discrimination_score_l1=0.5, mae=0.03),
    )
    # As `cell-eval score` 0.8.2 gave for these numbers.
    assert found == pytest.approx(
        {
            "overlap_at_N": 2 / 9,
            "discrimination_score_l1": 0,
            "mae": 1 / 3,
            "score": 5 / 27,
        }
    )


def test_the_challenge_needs_its_three_scores() -> None:
    some = scores(overlap_at_N=0.1, discrimination_score_l1=0.5)
    with pytest.raises(ValueError, match=r"got no mae; ask for the profile vcc"):
        challenge_scores(some, baseline=some)
