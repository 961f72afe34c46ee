"""Facts about the choice of genes."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scdfm.screen.variable_genes import (
    GeneChoice,
    are_most_variable,
    choose_genes,
    most_expressed,
    most_variable,
)

NONE = np.array([], dtype=np.int64)


def simulated(*, seed: int = 0, cells: int = 150, genes: int = 220) -> NDArray[np.float64]:
    """Normalised, unlogged counts with rare, silent and constant genes among them."""
    draw = np.random.default_rng(seed)
    means = draw.lognormal(0, 2, genes)
    counts = draw.negative_binomial(2, 2 / (2 + means), (cells, genes)).astype(np.float64)
    counts[:, :5] = 0
    counts[:, 5] = 0
    counts[3, 5] = 1
    counts[:, 6] = 30_000  # alone in its bin of means
    linear: NDArray[np.float64] = counts / draw.uniform(0.8, 1.2, (cells, 1))
    linear[:, 7] = 2.5
    return linear


def moments(linear: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "cells": len(linear),
        "linear_total": linear.sum(axis=0),
        "linear_squares": np.square(linear).sum(axis=0),
    }


def scanpy_choice(linear: NDArray[np.float64], *, n: int) -> set[int]:
    import anndata
    import scanpy

    cells = anndata.AnnData(np.log1p(linear))
    scanpy.pp.highly_variable_genes(cells, flavor="seurat", n_top_genes=n)
    return set(np.flatnonzero(cells.var["highly_variable"]).tolist())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n", [1, 10, 100, 180])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_most_variable_genes_are_those_of_scanpy(n: int, seed: int) -> None:
    linear = simulated(seed=seed)
    assert set(most_variable(**moments(linear), n=n).tolist()) == scanpy_choice(linear, n=n)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n", [20, 100, 200])
def test_on_real_cells_too(n: int) -> None:
    import anndata

    folder = os.environ.get("SCDFM_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the real data: set SCDFM_DATA to its folder")
    cells = anndata.read_h5ad(Path(folder) / "norman_subset.h5ad")
    library = cells.obs["ncounts"].to_numpy(dtype=np.float64)[:, None]
    linear = cells.layers["counts"].toarray() / library * 1e4
    assert set(most_variable(**moments(linear), n=n).tolist()) == scanpy_choice(linear, n=n)


def test_genes_that_never_vary_come_last() -> None:
    linear = simulated()
    ranking = most_variable(**moments(linear), n=linear.shape[1])
    constant = set(np.flatnonzero(np.ptp(linear, axis=0) == 0).tolist())
    assert set(ranking[-len(constant) :].tolist()) == constant > {0, 7}
    assert sorted(ranking.tolist()) == list(range(linear.shape[1]))


def test_the_most_expressed_genes_have_the_largest_totals() -> None:
    assert most_expressed(linear_total=np.array([3.0, 9.0, 5.0]), n=2).tolist() == [1, 2]


def chosen(
    linear: NDArray[np.float64], *, perturbed: NDArray[np.int64] = NONE, **options: Any
) -> tuple[list[int], list[int]]:
    model, evaluation = choose_genes(
        GeneChoice(**options),
        **moments(linear),
        nonzero=(linear > 0).sum(axis=0),
        perturbed=perturbed,
    )
    return model.tolist(), evaluation.tolist()


def test_genes_that_are_zero_in_training_are_neither_modelled_nor_evaluated() -> None:
    linear = simulated()
    model, evaluation = chosen(linear)
    assert model == np.flatnonzero(linear.any(axis=0)).tolist()
    assert evaluation == model


@pytest.mark.parametrize("choice", ["variable", "expressed"])
def test_evaluation_genes_are_the_first_of_the_models(choice: str) -> None:
    linear = simulated()
    model, evaluation = chosen(linear, model=50, evaluation=20, choice=choice)
    first, _ = chosen(linear, model=20, evaluation=20, choice=choice)
    assert (len(model), evaluation) == (50, first)
    assert set(evaluation) < set(model)
    assert model == sorted(model)


def test_a_gene_that_does_not_vary_is_never_among_the_most_variable() -> None:
    linear = simulated()
    every = are_most_variable(linear.shape[1], **moments(linear))
    assert not every[[0, 7]].any()
    few = are_most_variable(30, **moments(linear))
    assert set(np.flatnonzero(few)) == scanpy_choice(linear, n=30)


def test_perturbed_genes_take_the_places_of_the_lowest_ranked() -> None:
    linear = simulated()
    ranking = most_variable(**moments(linear), n=linear.shape[1])
    lowest = ranking[200:202]
    model, _ = chosen(linear, perturbed=lowest, model=30)
    assert set(model) == {*ranking[:28].tolist(), *lowest.tolist()}


def test_a_perturbed_gene_that_is_silent_in_training_is_left_out() -> None:
    model, _ = chosen(simulated(), perturbed=np.array([0]), model=30)
    assert 0 not in model


def test_too_small_a_model_for_the_perturbed_genes_is_an_error() -> None:
    with pytest.raises(ValueError, match="raise it to 3"):
        chosen(simulated(), perturbed=np.array([10, 11, 12]), model=2)


def test_silent_cells_have_no_genes_to_choose() -> None:
    with pytest.raises(ValueError, match="none of the 4 genes"):
        chosen(np.zeros((5, 4)))


def test_one_cell_has_no_variability() -> None:
    with pytest.raises(ValueError, match="at least 2 training cells"):
        chosen(np.ones((1, 4)))
