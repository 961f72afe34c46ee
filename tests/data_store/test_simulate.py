"""The simulated screen is what DESIGN section 8 says."""

import json
from pathlib import Path

import anndata
import numpy as np
import pytest

from data_store.simulate import SimulateOptions, simulate


@pytest.fixture(scope="module")
def screen() -> anndata.AnnData:
    return simulate(SimulateOptions(cells=6_000, genes=800, singles=12, doubles=12, seed=4))


def test_the_same_seed_gives_the_same_cells(screen: anndata.AnnData) -> None:
    again = simulate(SimulateOptions(cells=6_000, genes=800, singles=12, doubles=12, seed=4))
    assert (again.X != screen.X).nnz == 0
    assert again.obs.equals(screen.obs)
    other = simulate(SimulateOptions(cells=6_000, genes=800, singles=12, doubles=12, seed=5))
    assert (other.X != screen.X).nnz > 0


def test_library_sizes_are_log_normal_around_12000_and_count_all_genes(
    screen: anndata.AnnData,
) -> None:
    logs = np.log(screen.obs["ncounts"])
    assert np.exp(np.median(logs)) == pytest.approx(12_000, rel=0.03)
    assert logs.std() == pytest.approx(0.35, rel=0.05)
    assert (screen.obs["ncounts"] >= np.asarray(screen.X.sum(axis=1)).ravel()).all()


def test_gene_means_and_sizes_spread_as_in_real_cells() -> None:
    truth = simulate(SimulateOptions(cells=60, genes=3_000, singles=2, doubles=0)).uns["truth"]
    assert np.log(truth["gene_share"][0]).std() == pytest.approx(2.2, rel=0.05)
    assert np.median(truth["gene_size"]) == pytest.approx(6, rel=0.1)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("cells", "genes"), [(200, 10), (400, 20), (2_000, 12), (1_000, 60)])
def test_a_screen_of_few_genes_has_cells_of_usual_size(cells: int, genes: int, seed: int) -> None:
    few = simulate(SimulateOptions(cells=cells, genes=genes, seed=seed))
    truth = few.uns["truth"]
    assert np.isfinite(truth["log_fold"]).all()
    assert (truth["gene_share"][0] * np.exp(truth["log_fold"])).max() <= 1 + 1e-6
    # A gene that takes all of a cell at most doubles it, but for its own noise.
    assert few.obs["ncounts"].max() < 10 * 12_000 * np.exp(3 * 0.35)


def test_controls_are_eight_percent(screen: anndata.AnnData) -> None:
    assert (screen.obs["condition"] == "control").mean() == pytest.approx(0.08, abs=0.001)


def test_the_first_two_programmes_hold_44_and_29_percent(screen: anndata.AnnData) -> None:
    loadings = screen.uns["truth"]["loadings"]
    variance = (loadings - loadings.mean(axis=0)).var(axis=0)
    np.testing.assert_allclose((variance / variance.sum())[:2], [0.44, 0.29], atol=0.005)


def test_a_perturbed_gene_is_raised_two_to_eight_fold(screen: anndata.AnnData) -> None:
    truth = screen.uns["truth"]
    for name, row in zip(truth["conditions"], truth["log_fold"], strict=True):
        for token in name.split("+"):
            assert 2 <= np.exp(row[screen.var_names.get_loc(token)]) <= 8.001


def test_doubles_follow_their_singles_as_real_ones_do() -> None:
    options = SimulateOptions(cells=8_000, genes=200, singles=40, doubles=300, seed=1)
    truth = simulate(options).uns["truth"]
    order = {name: k for k, name in enumerate(truth["conditions"])}
    loadings, agreement = truth["loadings"], []
    for name in truth["conditions"][40:]:
        singles = np.stack([loadings[order[token]] for token in name.split("+")], axis=1)
        double = loadings[order[name]]
        fit = singles @ np.linalg.lstsq(singles, double, rcond=None)[0]
        agreement.append(fit @ double / np.linalg.norm(fit) / np.linalg.norm(double))
    assert np.mean(agreement) == pytest.approx(0.86, abs=0.03)
    plain = truth["kinds"][40:] == "additive"
    assert truth["coefficients"][40:][plain].mean() == pytest.approx(0.72, abs=0.05)
    assert truth["coefficients"][40:][plain].std() == pytest.approx(0.3, abs=0.05)
    assert set(truth["kinds"]) == {"single", "additive", "synergy", "suppression", "masking"}


def test_part_of_the_cells_do_not_respond(screen: anndata.AnnData) -> None:
    truth = screen.uns["truth"]
    perturbed = screen.obs["condition"] != "control"
    assert not truth["responds"][~perturbed].any()
    assert truth["responds"][perturbed].mean() == pytest.approx(
        truth["responding"].mean(), abs=0.05
    )
    assert 0.6 <= truth["responding"].min() <= truth["responding"].max() <= 0.95


def test_cells_per_condition_are_uneven_but_bounded() -> None:
    options = SimulateOptions(cells=60_000, genes=10, singles=4, doubles=0)
    assert options.design == (4, 0)
    sizes = simulate(SimulateOptions(cells=30_000, genes=300)).obs["condition"].value_counts()
    assert 250 <= sizes[1:].median() <= 320
    assert 45 <= sizes.min() <= sizes[1:].max() <= 1_100


def test_contexts_each_have_controls_and_all_conditions() -> None:
    cells = simulate(SimulateOptions(cells=900, genes=40, singles=4, doubles=3, contexts=3))
    table = cells.obs.groupby("context", observed=True)["condition"].nunique()
    assert table.tolist() == [8, 8, 8]


def test_the_truth_survives_a_file(screen: anndata.AnnData, tmp_path: Path) -> None:
    screen.write_h5ad(tmp_path / "screen.h5ad")
    truth = anndata.read_h5ad(tmp_path / "screen.h5ad").uns["truth"]
    assert json.loads(truth["options"])["seed"] == 4
    np.testing.assert_array_equal(truth["log_fold"], screen.uns["truth"]["log_fold"])
    assert list(truth["conditions"]) == list(screen.uns["truth"]["conditions"])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"singles": 3, "doubles": 4}, "at most 3 doubles"),
        ({"cells": 30, "singles": 10, "doubles": 0}, "at least 4 cells"),
        ({"genes": 20, "singles": 15, "doubles": 0}, "at most 10 singles"),
    ],
)
def test_a_design_that_cannot_be_is_refused(options: dict[str, int], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        SimulateOptions(**options)
