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


def test_the_challenge_of_2025_is_scored_as_cell_eval_scores_it() -> None:
    polars = pytest.importorskip("polars", reason="needs cell-eval")
    oracle = pytest.importorskip("cell_eval._score", reason="needs cell-eval")
    names = ("overlap_at_N", "discrimination_score_l1", "mae")
    ours, base = (0.3, 0.45, 0.02), (0.1, 0.5, 0.03)

    def frame(values: tuple[float, ...]) -> object:
        return polars.DataFrame(
            {"statistic": ["mean"], **{n: [v] for n, v in zip(names, values, strict=True)}}
        )

    table = oracle.score_agg_metrics(frame(ours), frame(base))
    expected = dict(zip(table["metric"], table["from_baseline"], strict=True))
    expected["score"] = expected.pop("avg_score")
    found = challenge_scores(
        scores(**dict(zip(names, ours, strict=True))),
        baseline=scores(**dict(zip(names, base, strict=True))),
    )
    assert found == pytest.approx(expected)
    assert found["discrimination_score_l1"] == 0  # worse than the baseline


def test_the_challenge_needs_its_three_scores() -> None:
    some = scores(overlap_at_N=0.1, discrimination_score_l1=0.5)
    with pytest.raises(ValueError, match=r"got no mae; ask for the profile vcc"):
        challenge_scores(some, baseline=some)
