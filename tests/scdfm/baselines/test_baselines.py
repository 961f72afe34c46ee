"""Facts about the baselines, on invented means and on real cells."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scdfm.metrics import Pseudobulks, evaluate
from scdfm.metrics.baselines import BASELINES, MeasuredUnits, Prediction, Units, all_baselines
from scdfm.metrics.baselines.additive import additive
from scdfm.metrics.baselines.control import control
from scdfm.metrics.baselines.perturbed_mean import perturbed_mean
from scdfm.screen.conditions import USUAL, Condition, name

CONTROLS = {"c0": np.array([1.0, 1.0]), "c1": np.array([5.0, 5.0]), "c2": np.array([9.0, 9.0])}


def training(*units: tuple[str, Condition, list[float]]) -> MeasuredUnits:
    return MeasuredUnits(
        contexts=tuple(context for context, _, _ in units),
        conditions=tuple(tokens for _, tokens, _ in units),
        control=np.array([CONTROLS[context] for context, _, _ in units]),
        mean=np.array([CONTROLS[context] + np.array(delta) for context, _, delta in units]),
        noise=np.full(len(units), 0.01),
    )


def asked(*units: tuple[str, Condition]) -> Units:
    return Units(
        contexts=tuple(context for context, _ in units),
        conditions=tuple(tokens for _, tokens in units),
        control=np.array([CONTROLS[context] for context, _ in units]),
    )


TRAINED = training(
    ("c0", ("A",), [1.0, 0.0]),
    ("c0", ("B",), [0.0, 2.0]),
    ("c1", ("A",), [3.0, 0.0]),
    ("c1", ("A", "B"), [8.0, 8.0]),
)


def test_control_predicts_no_change() -> None:
    test = asked(("c0", ("A", "B")), ("c1", ("B",)))
    np.testing.assert_array_equal(control(TRAINED, test).mean, test.control)


def test_the_perturbed_mean_of_a_context_is_the_mean_of_its_centroids() -> None:
    predicted = perturbed_mean(TRAINED, asked(("c0", ("X",)))).mean
    np.testing.assert_allclose(predicted[0], TRAINED.mean[:2].mean(axis=0))


def test_an_untrained_context_takes_the_mean_change_of_all_conditions() -> None:
    predicted = perturbed_mean(TRAINED, asked(("c2", ("X",)))).mean
    changes = np.array([[2.0, 0.0], [0.0, 2.0], [8.0, 8.0]])  # A over its two contexts, B, A+B
    np.testing.assert_allclose(predicted[0], CONTROLS["c2"] + changes.mean(axis=0))


def test_additive_sums_the_changes_of_the_singles_in_their_context() -> None:
    predicted = additive(TRAINED, asked(("c0", ("A", "B"))))
    np.testing.assert_allclose(predicted.mean[0], CONTROLS["c0"] + [1.0, 2.0])
    assert not predicted.incomplete.any()


def test_additive_borrows_a_single_from_other_contexts() -> None:
    predicted = additive(TRAINED, asked(("c2", ("A",)), ("c1", ("A", "B"))))
    np.testing.assert_allclose(predicted.mean[0], CONTROLS["c2"] + [2.0, 0.0])
    np.testing.assert_allclose(predicted.mean[1], CONTROLS["c1"] + [3.0, 2.0])


def test_additive_says_where_a_single_was_never_measured() -> None:
    predicted = additive(TRAINED, asked(("c0", ("X",)), ("c0", ("A", "X"))))
    np.testing.assert_allclose(predicted.mean, CONTROLS["c0"] + [[0.0, 0.0], [1.0, 0.0]])
    assert predicted.incomplete.tolist() == [True, True]


def test_no_training_units_are_refused() -> None:
    with pytest.raises(ValueError, match="need training units"):
        MeasuredUnits(contexts=(), conditions=(), control=np.zeros((0, 2)), mean=np.zeros((0, 2)))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_means_that_are_no_numbers_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="finite means to learn from"):
        training(("c0", ("A",), [wrong, 0.0]))


def test_every_baseline_predicts_every_unit() -> None:
    test = asked(("c0", ("A", "B")), ("c2", ("X",)))
    made = all_baselines(TRAINED, test)
    assert [*made] == [*BASELINES]
    assert all(np.isfinite(one.mean).all() for one in made.values())


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1, 0 and 1"):
        Units(contexts=("c0",), conditions=(), control=np.zeros((1, 2)))


def test_the_real_norman_subset_gives_the_reference_values() -> None:
    import anndata

    folder = os.environ.get("SCDFM_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the real data: set SCDFM_DATA to its folder")
    screen = anndata.read_h5ad(Path(folder) / "norman_subset.h5ad")
    counts = screen.layers["counts"].toarray().astype(np.float64)
    library = screen.obs["ncounts"].to_numpy(dtype=np.float64)[:, None]
    expression = np.log1p(counts / library * 1e4)
    written = screen.obs["condition"].astype(str).to_numpy()
    cells_of = {USUAL.parse(one): expression[written == one] for one in set(written)}
    means = {condition: cells.mean(axis=0) for condition, cells in cells_of.items()}

    tested = [
        USUAL.parse(one)
        for one in (
            "KLF1+MAP2K6",
            "KLF1+TGFBR2",
            "MAPK1+TGFBR2",
            "MAP2K3+MAP2K6",
            "MAP2K3+SLC38A2",
        )
    ]
    trained = sorted(means.keys() - {*tested, ()})
    assert len(trained) == 28
    in_test = np.isin(written, [name(one) for one in tested])
    genes = np.flatnonzero(counts[~in_test].any(axis=0))
    assert len(genes) == 239

    def noise(condition: Condition) -> float:
        cells = cells_of[condition][:, genes]
        return float(cells.var(axis=0, ddof=1).mean()) / len(cells)

    def known(conditions: list[Condition]) -> Units:
        return Units(
            contexts=("K562",) * len(conditions),
            conditions=tuple(conditions),
            control=np.stack([means[()][genes]] * len(conditions)),
        )

    units = known(trained)
    fitted = MeasuredUnits(
        units.contexts,
        units.conditions,
        units.control,
        mean=np.stack([means[one][genes] for one in trained]),
        noise=np.array([noise(one) + noise(()) for one in trained]),
    )
    test = known(tested)

    def scores(prediction: Prediction) -> tuple[float, float]:
        table = evaluate(
            Pseudobulks(
                contexts=test.contexts,
                conditions=tuple(map(name, tested)),
                genes=tuple(screen.var_names[genes]),
                predicted=prediction.mean,
                real=np.stack([means[one][genes] for one in tested]),
                control=test.control,
            )
        ).overall
        return round(table["mse"].value, 5), round(table["pearson_delta"].value, 3)

    came = {one: scores(made) for one, made in all_baselines(fitted, test).items()}
    assert came["control"][0] == 0.00974
    assert came["perturbed mean"] == (0.00869, 0.171)
    assert came["additive"] == (0.00084, 0.870)
    assert came["shrunken"] == (0.00064, 0.882)
    shared = replace(fitted, control_noise=np.full(len(trained), noise(())))
    assert scores(all_baselines(shared, test)["shrunken"]) == (0.0006, 0.883)
