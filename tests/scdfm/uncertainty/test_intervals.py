"""Facts of intervals: a plain formula, and how often the truth is inside."""

import numpy as np
import pytest
from scipy.stats import norm, t

from scdfm.flow.certainty.intervals import (
    IntervalFactor,
    Unsure,
    factor_of,
    half_width,
    needed,
    pooled,
)


def test_without_members_an_interval_is_normal() -> None:
    unsure = Unsure(cells=np.array([0.01, 0.0]), model=np.array([0.04, 0.09]))
    found = half_width(unsure, level=0.8, factor=1.5)
    np.testing.assert_allclose(found, norm.ppf(0.9) * np.sqrt([0.01 + 2.25 * 0.04, 2.25 * 0.09]))
    alone = half_width(unsure._replace(model=None), level=0.8, factor=1.5)
    np.testing.assert_allclose(alone, norm.ppf(0.9) * np.sqrt([0.01, 0.0]))


def test_what_three_members_differ_by_has_students_t_and_holds_their_cells_noise() -> None:
    known = Unsure(cells=np.ones(1), model=np.array([0.04]), members=np.array([0.25]))
    found = half_width(known, level=0.9, factor=2, members=3)
    wanted = norm.ppf(0.95) ** 2 * 4 * 0.04 + t.ppf(0.95, 2) ** 2 * 4 / 3 * 0.25
    np.testing.assert_allclose(found, np.sqrt(wanted))


@pytest.mark.parametrize("members", [2, 3, 8])
@pytest.mark.parametrize("shared", [0.0, 0.5, 2.0])
def test_nine_of_ten_truths_are_inside(members: int, shared: float) -> None:
    genes, noise = 6_000, 0.3
    draw = np.random.default_rng((members, int(10 * shared)))
    # The truth is one more draw of what the members are draws of, and all share one more error.
    truth = draw.normal(size=genes) + draw.normal(0, shared, genes)
    means = draw.normal(size=(members, genes)) + draw.normal(0, noise, (members, genes))
    unsure = Unsure(
        cells=np.full(genes, noise**2 / members),
        model=np.full(genes, shared**2),
        members=means.var(axis=0, ddof=1),
    )
    half = half_width(unsure, level=0.9, members=members)
    inside = np.abs(truth - means.mean(axis=0)) <= half
    assert 0.89 <= inside.mean() <= 0.97


def test_a_factor_found_on_some_units_is_right_for_others() -> None:
    draw = np.random.default_rng(1)
    variance, noise = draw.gamma(2, 0.02, (12, 500)), np.full((12, 500), 1e-4)
    error = draw.normal(0, np.sqrt(4 * variance))
    found = factor_of(needed(error[:6], variance=variance[:6], noise=noise[:6]), has_unit=True)
    assert found is not None
    assert (found.units, found.guess) == (6, False)
    assert found.factor == pytest.approx(2, rel=0.06)
    half = half_width(Unsure(noise[0], variance[6:].ravel()[:500]), level=0.9, factor=found.factor)
    assert np.mean(np.abs(error[6]) <= half) == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize("times", [1.0, 4.0, 16.0])
@pytest.mark.parametrize("noisy", [0.0, 1.0, 4.0])
def test_noise_of_measuring_is_not_taken_for_the_models_error(times: float, noisy: float) -> None:
    draw = np.random.default_rng((int(times), int(noisy)))
    variance = draw.gamma(2, 0.02, (24, 500))
    error, noise = draw.normal(0, np.sqrt(times * variance)), noisy * variance
    measured = error + draw.normal(0, np.sqrt(noise))
    some, others = slice(0, 12), slice(12, 24)
    found = factor_of(
        needed(measured[some], variance=variance[some], noise=noise[some]), has_unit=True
    )
    assert found is not None
    assert found.factor == pytest.approx(np.sqrt(times), rel=0.12)
    # Of the truth, which nobody measures.
    unsure = Unsure(np.zeros(12 * 500), variance[others].ravel())
    half = half_width(unsure, level=0.9, factor=found.factor)
    assert 0.85 <= np.mean(np.abs(error[others].ravel()) <= half) <= 0.95


def test_what_noise_explains_needs_no_factor() -> None:
    inside = norm.ppf(0.95) * np.sqrt(0.5 * 0.04 + 0.3)
    told = needed(np.full((1, 4), inside), variance=np.full((1, 4), 0.04), noise=np.full(4, 0.3))
    np.testing.assert_allclose(told, np.sqrt(0.5))
    told = needed(np.full((1, 4), 0.1), variance=np.full((1, 4), 0.04), noise=np.full(4, 0.3))
    assert not np.any(told)


def test_a_unit_without_a_prediction_says_nothing() -> None:
    error = np.array([[0.1, np.nan], [0.2, 0.1]])
    assert len(needed(error, variance=np.ones((2, 2)), noise=np.zeros((2, 2)))) == 1
    assert factor_of([], has_unit=True) is None


def test_units_widen_what_a_base_says_of_itself_and_never_narrow_it() -> None:
    for times, factor in ((0.5, 1.0), (1.0, 1.0), (1.7, 1.7)):
        found = factor_of([[times] * 20] * 3, has_unit=True, guess=True)
        assert found is not None
        assert (found.factor, found.units, found.guess) == (pytest.approx(factor), 3, True)
        shape = factor_of([[times] * 20], has_unit=False)
        assert shape is not None
        assert shape.factor == pytest.approx(times)


def test_members_of_the_same_units_count_them_once() -> None:
    two = [IntervalFactor(factor=1, units=4), IntervalFactor(factor=7, units=4, guess=True)]
    assert pooled(two, apart=False) == IntervalFactor(factor=5, units=4, guess=True)
    folds = pooled([two[0], IntervalFactor(factor=4, units=1)], apart=True)
    assert folds == IntervalFactor(factor=2, units=5)
    assert pooled([], apart=True) is None
