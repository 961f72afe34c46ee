"""Facts of gathering evidence from cells."""

from dataclasses import replace

import numpy as np
import pytest

from scdfm.metrics import METRICS, Evidence, Metric, UnitCells, evaluate, known_of
from scdfm.metrics.gather import gather
from tests.metrics.screens import screen


def same(left: Evidence, right: Evidence) -> None:
    names = [*known_of(left)]
    assert names == [*known_of(right)]
    for name in names:
        ours, theirs = (METRICS[name].values(one) for one in (left, right))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, err_msg=name)


def test_threads_and_sparse_cells_change_no_metric() -> None:
    some = screen()
    alone = some.evidence()
    same(alone, some.evidence(threads=3))
    same(alone, some.evidence(sparse=True))


def test_only_what_is_asked_for_is_counted() -> None:
    means = screen().evidence(["mse"])
    assert (means.real_cells, means.predicted_cells, means.measured) == (None, None, {})
    assert all(METRICS[name].of_means for name in known_of(means))


def test_the_real_side_is_taken_from_another_prediction_of_the_same_units() -> None:
    some = screen()
    first = some.evidence()
    other = replace(some, predicted=some.real)
    like = gather(other.units(), genes=some.genes, like=first)
    assert like.real_cells is first.real_cells
    same(like, other.evidence())
    with pytest.raises(ValueError, match="same units in the same order"):
        gather(list(other.units())[1:], genes=some.genes, like=first)


def test_a_unit_with_a_mean_and_no_cells_has_metrics_of_means_alone() -> None:
    units = [*screen().units()]
    units[1] = replace(units[1], predicted=None, predicted_mean=np.ones(30))
    evidence = gather(units, genes=screen().genes)
    for name in ("mse", "overlap_at_N", "mmd2"):
        undefined = np.isnan(METRICS[name].values(evidence))
        assert undefined.tolist() == [False, name != "mse", False, False, False]


def test_a_prediction_that_is_no_number_is_undefined_everywhere() -> None:
    units = [*screen().units()]
    wrong = np.array(units[2].predicted)
    wrong[3, 3] = np.nan
    units[2] = replace(units[2], predicted=wrong)
    evidence = gather(units, genes=screen().genes)
    for name in known_of(evidence):
        assert np.isnan(METRICS[name].values(evidence)[2])


def test_a_mean_known_better_than_by_its_cells_is_the_one_that_is_scored() -> None:
    units = [*screen().units()]
    better = units[0].real.mean(axis=0, dtype=float)
    units[0] = replace(units[0], predicted_mean=better)
    assert METRICS["mse"].values(gather(units, genes=screen().genes))[0] == 0


def test_controls_of_a_prediction_are_where_its_changes_start() -> None:
    some = screen()
    units = [replace(unit, predicted_control=some.control + 1) for unit in some.units()]
    moved = gather(units, genes=some.genes)
    plain = some.evidence(["mse"]).predicted_delta
    np.testing.assert_allclose(moved.predicted_delta + 1, plain, atol=1e-6)
    assert (moved.real_delta == some.evidence(["mse"]).real_delta).all()


def test_a_metric_of_cells_can_be_plugged_in() -> None:
    def more_cells(unit: UnitCells) -> float:
        assert unit.predicted is not None
        return unit.predicted.shape[0] / unit.real.shape[0]

    METRICS.add("more_cells", Metric(of_cells=more_cells, mode="min"))
    try:
        table = evaluate(screen().evidence(["more_cells"]), metrics=["more_cells"])
    finally:
        del METRICS._things["more_cells"]
    assert table.conditions["P4"]["more_cells"].value == 36 / 44


def test_what_cannot_be_scored_is_refused() -> None:
    some = screen()
    with pytest.raises(ValueError, match="needs real_cells, predicted_cells of the units"):
        evaluate(some.evidence(["mse"]), metrics=["overlap_at_N"])
    with pytest.raises(ValueError, match="the 3 genes that were named, got 30"):
        gather(some.units(), genes=("A", "B", "C"))
    with pytest.raises(ValueError, match="at least 1 unit"):
        gather([], genes=some.genes)
    with pytest.raises(ValueError, match="predicted cells or their mean, got neither"):
        UnitCells("c", "P", real=some.control, control=some.control)
    with pytest.raises(ValueError, match="both or neither"):
        Metric(mode="min")


def test_a_drug_that_is_spelt_like_a_gene_is_none() -> None:
    some, names = screen(), ["mse", "overlap_at_N", "pds_cosine", "mse_ratio"]
    genes = gather(some.units(), genes=some.genes, metrics=names)
    drugs = gather(some.units(), genes=some.genes, metrics=names, tokens_are_genes=False)
    apart = replace(genes, conditions=tuple(f"drug {n}" for n in range(len(genes.conditions))))
    for name in names:
        np.testing.assert_array_equal(METRICS[name].values(drugs), METRICS[name].values(apart))
    same = [np.array_equal(METRICS[n].values(drugs), METRICS[n].values(genes)) for n in names]
    assert same[0]
    assert not all(same)
