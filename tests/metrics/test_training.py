"""Facts of metrics that start from the training conditions."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr, ttest_ind

from scdfm.metrics import METRICS, CellFacts, Evidence, Training
from scdfm.metrics.correlation import strongest
from scdfm.metrics.de.table import Moments
from scdfm.metrics.training import training_of
from tests.metrics.screens import screen


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return replace(screen().evidence(), training=trained())


def trained() -> Training:
    some = screen(seed=5, conditions=("T0", "T1", "T2"))
    units = [Moments.of(cells) for cells in some.real.values()]
    control = Moments.of(some.control)
    return training_of(
        np.stack([unit.mean for unit in units]),
        variances=np.stack([unit.variance for unit in units]),
        cells=np.array([unit.cells for unit in units]),
        control_means=np.stack([control.mean] * 3),
        control_variances=np.stack([control.variance] * 3),
        control_cells=np.array([control.cells] * 3),
    )


def test_weights_come_from_welchs_t_of_each_training_condition() -> None:
    some = screen(seed=5, conditions=("T0", "T1", "T2"))
    squares = []
    for cells in some.real.values():
        test = ttest_ind(cells.astype(float), some.control.astype(float), equal_var=False)
        score = np.nan_to_num(np.abs(test.statistic))
        squares.append(((score - score.min()) / np.ptp(score)) ** 2)
    weights = np.mean(squares, axis=0)
    np.testing.assert_allclose(trained().weights, weights / weights.sum(), rtol=1e-5)
    means = [cells.mean(axis=0, dtype=float) for cells in some.real.values()]
    np.testing.assert_allclose(trained().mean, np.mean(means, axis=0))


def test_where_nothing_changes_all_genes_count_alike() -> None:
    still = np.ones((2, 4))
    found = training_of(
        still, variances=0 * still, cells=np.array([3, 3]), control_means=still,
        control_variances=0 * still, control_cells=np.array([5, 5]),
    )  # fmt: skip
    assert found.weights.tolist() == [0.25] * 4


def test_training_without_units_is_refused() -> None:
    none = np.ones((0, 4))
    with pytest.raises(ValueError, match="moments of at least 1 unit"):
        training_of(
            none, variances=none, cells=np.array([]), control_means=none,
            control_variances=none, control_cells=np.array([]),
        )  # fmt: skip


def test_weighted_errors_follow_their_definitions(evidence: Evidence) -> None:
    from sklearn.metrics import mean_squared_error, r2_score

    training = evidence.training
    assert training is not None
    for row in range(len(evidence.conditions)):
        pair = evidence.real[row], evidence.predicted[row]
        assert METRICS["weighted_mse"].values(evidence)[row] == pytest.approx(
            mean_squared_error(*pair, sample_weight=training.weights)
        )
        assert METRICS["weighted_r2_delta"].values(evidence)[row] == pytest.approx(
            r2_score(*(one - training.mean for one in pair), sample_weight=training.weights)
        )


def test_the_centroid_of_the_training_conditions_earns_nothing(evidence: Evidence) -> None:
    assert evidence.training is not None
    centroid = np.tile(evidence.training.mean, (len(evidence.conditions), 1))
    means = evidence.of_means(centroid)
    assert (METRICS["weighted_r2_delta"].values(means) <= 1e-12).all()
    assert np.isnan(METRICS["pearson_delta_pertmean"].values(means)).all()


def test_systemas_correlations_start_from_the_centroid(evidence: Evidence) -> None:
    assert evidence.training is not None
    assert evidence.real_cells is not None
    for row in range(len(evidence.conditions)):
        pair = [one[row] - evidence.training.mean for one in (evidence.predicted, evidence.real)]
        strongest = np.argsort(evidence.real_cells.p_value[row], kind="stable")[:20]
        for name, genes in (("", slice(None)), ("_top20", strongest)):
            found = METRICS[f"pearson_delta_pertmean{name}"].values(evidence)[row]
            expected = pearsonr(*(one[genes] for one in pair)).statistic
            assert found == pytest.approx(expected, rel=1e-6)


def test_the_order_of_genes_does_not_choose_among_equally_strong_ones() -> None:
    names = np.array([f"G{i:02d}" for i in range(30)])
    even = np.ones((1, 30), dtype=np.float32)
    count = np.array([9])
    endless = np.full_like(even, np.inf)  # no control cell has any of these genes
    facts = CellFacts(count, even, count, even, even.astype(float), even, endless, endless)
    draw = np.random.default_rng(0)
    for order in (np.arange(30), draw.permutation(30)):
        chosen = strongest(facts, count=20, names=names[order].tolist())[0]
        assert {*names[order][chosen]} == {*names[:20]}
