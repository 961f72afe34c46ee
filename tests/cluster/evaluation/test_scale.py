"""Facts of the scale of rescaled scores."""

import math

import pytest

from cluster.work.evaluation.scale import over_moved, rescaled
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


def test_distances_are_told_over_those_of_moved_controls() -> None:
    found = over_moved(
        {
            "scDFM": table(mmd2=0.01, energy_distance=0.3, mse=1.0),
            "shrunken": table(mmd2=0.02, energy_distance=0.2),
            "additive": table(mmd2=-0.001, energy_distance=0.4),
            "THEIRS": table(mse=0.5),
        }
    )
    assert found["shrunken"]["scDFM"] == pytest.approx({"mmd2": 0.5, "energy_distance": 1.5})
    assert "THEIRS" not in found["shrunken"]
    assert math.isnan(found["additive"]["scDFM"]["mmd2"])  # moved controls are as near as real ones
    assert over_moved({"scDFM": table(mse=1.0), "shrunken": table(mse=2.0)}) == {}
