"""Facts of the scale of rescaled scores."""

import pytest

from cluster.work.evaluation.scale import rescaled
from scdfm.metrics import Score, Table


def table(**values: float) -> Table:
    overall = {name: Score(value=one, conditions=3, undefined=0) for name, one in values.items()}
    return Table(overall=overall, contexts={}, conditions={})


def test_a_table_of_means_is_left_out_of_the_challenge_and_stops_nobody() -> None:
    tables = {
        "perturbed mean": table(overlap_at_N=0.1, discrimination_score_l1=0.5, mae=0.03),
        "noise ceiling": table(overlap_at_N=0.6, discrimination_score_l1=0.9, mae=0.01),
        "THEIRS": table(discrimination_score_l1=0.75, mae=0.02),
    }
    assert [*rescaled(tables, profile="vcc")] == ["perturbed mean", "noise ceiling"]
    theirs = rescaled(tables)["THEIRS"]
    assert theirs == pytest.approx({"discrimination_score_l1": 0.625, "mae": 0.5})
