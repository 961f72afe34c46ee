"""Facts of scores in which chance earns nothing."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from scdfm.metrics import Pseudobulks
from scdfm.metrics.corrected import mse_ratio, pds_cosine
from scdfm.metrics.gather import gather
from tests.metrics.screens import screen


def panel(predicted: np.ndarray, *, genes: Sequence[str] | None = None) -> Pseudobulks:
    """Units whose real changes are drawn; condition i is named like gene i."""
    count, width = predicted.shape
    names = genes or [f"G{i}" for i in range(width)]
    real = np.random.default_rng(0).normal(0, 1, predicted.shape) + 3
    control = np.full_like(real, 3.0)
    return Pseudobulks(
        ("c",) * count, tuple(f"G{i}" for i in range(count)), tuple(names),
        predicted + 3, real, control,
    )  # fmt: skip


def test_what_says_nothing_of_its_condition_scores_a_half() -> None:
    assert (pds_cosine(panel(np.zeros((7, 20)))) == 0.5).all()  # each, not on average
    same = np.tile(np.random.default_rng(1).normal(0, 1, 20), (7, 1))
    assert pds_cosine(panel(same)).mean() == pytest.approx(0.5)


def test_the_true_change_at_any_size_scores_1() -> None:
    some = panel(np.ones((7, 20)))
    assert (pds_cosine(replace(some, predicted=3 + 0.1 * some.real_delta)) == 1).all()
    assert (pds_cosine(replace(some, predicted=3 - some.real_delta)) == 0).all()


def test_knowing_the_other_targets_of_the_panel_earns_nothing() -> None:
    spiked = np.zeros((7, 20))
    spiked[:, :7] = 5 * (1 - np.eye(7))
    assert (pds_cosine(panel(spiked)) == 0.5).all()


def test_one_condition_cannot_be_told_apart() -> None:
    assert np.isnan(pds_cosine(panel(np.ones((1, 20))))).all()


def test_no_change_is_1_and_another_half_of_the_cells_0_once_noise_is_out() -> None:
    replicates, controls, plain = [], [], []
    for seed in range(30):
        some = screen(seed=seed, cells=60, controls=120, effect=0.7)
        half = {name: cells[::2] for name, cells in some.real.items()}
        other = {name: cells[1::2] for name, cells in some.real.items()}
        replicate = replace(some, real=half, predicted=other)
        unmoved = replace(
            some,
            control=some.control[::2],
            predicted=dict.fromkeys(some.real, some.control[1::2]),
        )
        evidence = replicate.evidence(["mse_ratio"])
        replicates.append(mse_ratio(evidence)[0])
        controls.append(mse_ratio(unmoved.evidence(["mse_ratio"]))[0])
        plain.append(np.square(evidence.predicted - evidence.real).sum())
    assert abs(np.mean(replicates)) < 3 * np.std(replicates) / np.sqrt(30)
    assert np.mean(controls) == pytest.approx(1, abs=0.1)
    assert min(plain) > 0


def test_no_change_is_1_however_few_cells_stand_for_it() -> None:
    some = screen(cells=40, controls=60)
    mean, noise = some.control.mean(0, dtype=float), some.control.var(0, ddof=1) / 60
    units = [
        replace(one, predicted=some.control[:9], predicted_mean=mean, predicted_noise=noise)
        for one in replace(some, real={"P3": some.real["P3"], "P4": some.real["P4"]}).units()
    ]
    assert mse_ratio(gather(units, genes=some.genes, metrics=["mse_ratio"])) == pytest.approx(1)
    bare = [replace(one, predicted_noise=None) for one in units]
    assert (mse_ratio(gather(bare, genes=some.genes, metrics=["mse_ratio"])) < 0.99).all()


def test_claiming_noise_does_not_lower_the_error() -> None:
    some = screen(seed=3)
    draw = np.random.default_rng(0)
    noisy = {
        name: (cells + 20 * draw.normal(0, 1, cells.shape)).astype(np.float32)
        for name, cells in some.predicted.items()
    }
    mean = {
        name: (cells - cells.mean(0) + some.predicted[name].mean(0)).astype(np.float32)
        for name, cells in noisy.items()
    }
    plain = mse_ratio(some.evidence(["mse_ratio"]))[0]
    claimed = mse_ratio(replace(some, predicted=mean).evidence(["mse_ratio"]))[0]
    assert claimed < plain  # up to the noise of the real cells
    evidence = some.evidence(["mse_ratio"])
    assert evidence.real_cells is not None
    real = evidence.real_cells
    credit = (real.variance.sum(axis=1) / real.cells).sum()
    spread = np.square(evidence.real_delta).sum()
    assert claimed > plain - 2 * credit / spread


def test_changes_within_their_noise_have_no_ratio() -> None:
    some = screen(seed=1, effect=0.0, conditions=("P0", "P1"))
    unmoved = replace(some, real=dict.fromkeys(some.real, some.control))
    assert np.isnan(mse_ratio(unmoved.evidence(["mse_ratio"]))).all()
