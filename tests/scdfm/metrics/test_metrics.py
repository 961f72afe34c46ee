"""Facts about metrics."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from scdfm.metrics import METRICS, Metric, Pseudobulks, Table, evaluate, known_of, round_scores
from scdfm.metrics.correlation import pearson_delta
from scdfm.metrics.discrimination import discrimination_score, discrimination_score_l1
from scdfm.metrics.errors import l2, mae, mse
from scdfm.metrics.registry import RoundMetric

OF_MEANS = [name for name, metric in METRICS.items() if metric.of_means]


def units(
    *, seed: int = 0, conditions: int = 6, genes: int = 40, contexts: int = 1, **arrays: Any
) -> Pseudobulks:
    draw = np.random.default_rng(seed)
    names = [(f"c{i}", f"P{j}") for i in range(contexts) for j in range(conditions)]
    control = np.repeat(draw.uniform(0, 2, (contexts, genes)), conditions, axis=0)
    real = control + draw.normal(0, 0.3, control.shape)
    given = {"predicted": real + draw.normal(0, 0.3, real.shape), "real": real, "control": control}
    return Pseudobulks(
        contexts=tuple(context for context, _ in names),
        conditions=tuple(condition for _, condition in names),
        genes=tuple(f"G{i}" for i in range(genes)),
        **(given | arrays),
    )


def no_change(some: Pseudobulks) -> Pseudobulks:
    return predicting(some, some.control)


def predicting(some: Pseudobulks, predicted: NDArray[np.float64]) -> Pseudobulks:
    return Pseudobulks(
        some.contexts, some.conditions, some.genes, predicted, some.real, some.control
    )


def test_a_perfect_prediction_has_no_error_and_full_correlation() -> None:
    some = units()
    perfect = evaluate(predicting(some, some.real)).overall
    assert {name: round(score.value, 12) for name, score in perfect.items()} == {
        "mse": 0,
        "mae": 0,
        "l2": 0,
        "pearson_delta": 1,
        "discrimination_score_l1": 1,
        "discrimination_score_l2": 1,
        "discrimination_score_cosine": 1,
        "pds_cosine": 1,
    }


def test_errors_follow_their_definitions() -> None:
    some = units()
    difference = some.predicted - some.real
    np.testing.assert_allclose(mse(some), (difference**2).mean(axis=1))
    np.testing.assert_allclose(mae(some), np.abs(difference).mean(axis=1))
    np.testing.assert_allclose(l2(some), np.sqrt(len(some.genes) * mse(some)))


def test_pearson_delta_is_scipys_pearson_of_the_changes() -> None:
    from scipy.stats import pearsonr

    some = units()
    expected = [
        pearsonr(a, b).statistic
        for a, b in zip(some.predicted - some.control, some.real - some.control, strict=True)
    ]
    np.testing.assert_allclose(pearson_delta(some), expected)


def test_pearson_delta_of_no_change_is_undefined_and_counted() -> None:
    some = units()
    nearly = some.control * (1 + np.finfo(float).eps)
    as_stored = some.control.astype(np.float32)
    for prediction in (some.control, nearly, as_stored):
        assert np.isnan(pearson_delta(predicting(some, prediction))).all()
    score = evaluate(no_change(some)).overall["pearson_delta"]
    assert np.isnan(score.value)
    assert (score.conditions, score.undefined) == (0, 6)


@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("conditions", [2, 5, 9])
def test_no_change_discriminates_as_badly_as_chance(distance: Any, conditions: int) -> None:
    scores = discrimination_score(no_change(units(conditions=conditions)), distance=distance)
    assert scores.mean() == pytest.approx(0.5 + 1 / (2 * conditions))


@pytest.mark.parametrize("distance", ["l1", "l2", "cosine"])
def test_discrimination_ranks_the_true_condition_by_distance(distance: Any) -> None:
    some = units(seed=3)
    deltas = some.predicted - some.control, some.real - some.control
    order = {"l1": 1, "l2": 2}

    def apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        if distance == "cosine":
            return float(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        return float(np.linalg.norm(a - b, ord=order[distance]))

    ranks = [
        int(np.argsort([apart(one, other) for other in deltas[1]]).tolist().index(i))
        for i, one in enumerate(deltas[0])
    ]
    np.testing.assert_allclose(
        discrimination_score(some, distance=distance), 1 - np.array(ranks) / 6
    )


def test_the_gene_named_like_the_condition_is_left_out() -> None:
    control = np.zeros((2, 3))
    real = np.array([[9.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    predicted = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    named = Pseudobulks(("c", "c"), ("A", "B"), ("A", "X", "Y"), predicted, real, control)
    other = Pseudobulks(("c", "c"), ("A", "B"), ("Z", "X", "Y"), predicted, real, control)
    assert discrimination_score_l1(named).tolist() == [1.0, 1.0]
    assert discrimination_score_l1(other).tolist() == [0.5, 1.0]


def test_conditions_compete_only_within_their_context() -> None:
    both = units(contexts=2, seed=5)
    for rows in (slice(0, 6), slice(6, 12)):
        alone = Pseudobulks(
            both.contexts[rows],
            both.conditions[rows],
            both.genes,
            both.predicted[rows],
            both.real[rows],
            both.control[rows],
        )
        np.testing.assert_array_equal(
            discrimination_score_l1(both)[rows], discrimination_score_l1(alone)
        )


def test_equal_distances_share_their_rank() -> None:
    same = units(conditions=3, real=np.ones((3, 40)), predicted=np.zeros((3, 40)))
    np.testing.assert_allclose(discrimination_score_l1(same), 1 - 1 / 3)


def test_a_single_condition_cannot_be_discriminated() -> None:
    assert np.isnan(discrimination_score_l1(units(conditions=1))).all()


def test_a_missing_prediction_is_undefined_in_every_metric() -> None:
    some = units()
    predicted = some.predicted.copy()
    predicted[2] = np.nan
    table = evaluate(predicting(some, predicted))
    assert {score.undefined for score in table.overall.values()} == {1}
    assert {score.conditions for score in table.overall.values()} == {5}
    assert np.isnan(table.conditions["P2"]["mse"].value)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("name", OF_MEANS)
def test_a_prediction_that_is_no_number_is_undefined_and_counted(name: str, wrong: float) -> None:
    some = units()
    predicted = some.predicted.copy()
    predicted[2, 7] = wrong
    score = evaluate(predicting(some, predicted), metrics=[name]).overall[name]
    assert np.isfinite(score.value)
    # 1e300 is a number, and so is its distance; only its square is none.
    square = name in ("mse", "l2", "pearson_delta", "discrimination_score_l2")
    assert score.undefined == 1 or (wrong == 1e300 and not square)


def test_finite_scores_whose_mean_is_not_have_no_value() -> None:
    some = units(predicted=np.full((6, 40), 1e308))
    assert np.isnan(evaluate(some, metrics=["mae"]).overall["mae"].value)


def test_a_model_that_cannot_predict_one_unit_has_no_score_to_win_by() -> None:
    some = units()
    predicted = some.real.copy()
    assert round_scores(predicting(some, predicted))["mse"] == 0
    predicted[0, 0] = np.inf
    scores = round_scores(predicting(some, predicted))
    assert scores.keys() == {name for name in OF_MEANS if METRICS[name].of_rounds}
    assert np.isnan([*scores.values()]).all()


@pytest.mark.parametrize("name", ["pearson_delta", "discrimination_score_cosine"])
def test_a_round_counts_no_change_as_no_skill_and_leaves_out_what_nobody_could_score(
    name: str,
) -> None:
    predicted, real, control = (getattr(units(), one) for one in ("predicted", "real", "control"))
    real = real.copy()
    real[4] = control[4].astype(np.float32)  # has no direction, whatever is predicted
    whole = units(predicted=predicted, real=real)
    assert round_scores(whole)[name] == evaluate(whole, metrics=[name]).overall[name].value
    known = np.delete(METRICS[name].values(whole), 4)
    less = predicted.copy()
    less[1] = control[1].astype(np.float32)
    known[1] = METRICS[name].no_skill
    silent = units(predicted=less, real=real)
    assert round_scores(silent)[name] == pytest.approx(known.mean())
    assert evaluate(silent, metrics=[name]).overall[name].undefined == 2  # a table says so
    nothing = units(predicted=control.astype(np.float32), real=real)
    assert np.isnan(round_scores(nothing)[name])


def test_what_has_no_direction_is_undefined_by_cosine() -> None:
    some = units()
    predicted, real = some.predicted.copy(), some.real.copy()
    predicted[1] = some.control[1].astype(np.float32)
    real[4] = some.control[4].astype(np.float32)
    both = units(predicted=predicted, real=real)
    undefined = np.isnan(discrimination_score(both, distance="cosine"))
    assert undefined.tolist() == [False, True, False, False, True, False]
    assert not np.isnan(discrimination_score(both, distance="l1")).any()


def test_a_change_of_the_perturbed_gene_alone_has_no_direction_without_it() -> None:
    control = np.ones((2, 3))
    real = np.array([[1.0, 2.0, 1.0], [1.0, 1.0, 2.0]])
    predicted = np.array([[9.0, 1.0, 1.0], [1.0, 1.0, 2.0]])
    some = Pseudobulks(("c", "c"), ("A", "B"), ("A", "X", "Y"), predicted, real, control)
    assert np.isnan(discrimination_score(some, distance="cosine")).tolist() == [True, False]


def test_a_metric_that_forgets_units_is_refused() -> None:
    forgetful = Metric(lambda units: units.real.mean(axis=0), mode="min")
    with pytest.raises(ValueError, match=r"each of 6 units, got shape \(40,\)"):
        forgetful.values(units())


def test_units_average_within_a_condition_before_conditions_average() -> None:
    values = np.array([[1.0], [3.0], [10.0]])
    some = Pseudobulks(
        ("c0", "c1", "c0"), ("A", "A", "B"), ("G",), values, np.zeros((3, 1)), np.zeros((3, 1))
    )
    table = evaluate(some, metrics=["mae"])
    assert table.overall["mae"].value == (2 + 10) / 2
    assert table.conditions["A"]["mae"].value == 2
    assert table.contexts["c0"]["mae"].value == (1 + 10) / 2
    assert table.contexts["c1"]["mae"].value == 3


def test_a_table_survives_json_with_undefined_values_as_null() -> None:
    text = evaluate(no_change(units())).model_dump_json()
    assert '"pearson_delta":{"value":null,"conditions":0,"undefined":6,' in text
    assert Table.model_validate_json(text).model_dump_json() == text


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'mse'"):
        evaluate(units(), metrics=["msee"])


def test_every_metric_says_which_way_is_better() -> None:
    some = units()
    bad, good = evaluate(some).overall, evaluate(predicting(some, some.real)).overall
    for name in known_of(some):
        gain = good[name].value - bad[name].value
        assert gain >= 0 if METRICS[name].mode == "max" else gain <= 0


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"real": np.zeros((6, 3))}, r"real must be \(units, genes\)"),
        ({"control": np.full((6, 40), np.nan)}, "control must be finite"),
    ],
)
def test_arrays_of_other_units_are_refused(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        units(**arrays)


def test_a_unit_may_come_only_once() -> None:
    one = np.zeros((2, 1))
    with pytest.raises(ValueError, match="got one twice"):
        Pseudobulks(("c", "c"), ("A", "A"), ("G",), one, one, one)


@pytest.mark.parametrize(
    "name", ["overlap_at_N", "weighted_mse", "discrimination_score_l1_absolute"]
)
def test_rounds_and_sweeps_take_only_metrics_that_rounds_compute(name: str) -> None:
    given = TypeAdapter(RoundMetric)
    with pytest.raises(ValidationError, match=rf"does not compute {name}; choose one of mse, mae"):
        given.validate_python(name)
    for one in ("pds_cosine", "mmd2", "energy_distance"):
        assert given.validate_python(one) == one
