"""Facts of `scdfm.score`: two AnnData in, a data frame out."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, concat, read_h5ad
from scipy.sparse import csc_matrix, csr_matrix

import scdfm
from scdfm.metrics import METRICS
from tests.metrics.golden.make import as_anndata
from tests.metrics.screens import screen


@pytest.fixture(scope="module")
def pair() -> tuple[AnnData, AnnData]:
    """Predicted and real cells, with controls on both sides; do not change them."""
    some = screen()
    return as_anndata(some, some.predicted, sparse=True), as_anndata(some, some.real, sparse=False)


def relabelled(cells: AnnData, **labels: str) -> AnnData:
    made = cells.copy()
    made.obs["condition"] = made.obs["condition"].astype(str).replace(labels)
    return made


def test_a_row_for_each_condition_and_a_column_for_each_metric(pair: Any) -> None:
    scores = scdfm.score(pair[0], real=pair[1], condition="condition", control="control")
    assert [*scores.index] == ["G0", "G1", "G2+G5", "P3", "P4"]
    assert scores.index.name == "condition"
    evidence = screen().evidence()
    assert {"mse", "overlap_at_N", "mmd2", "direction_reach"} < {*scores}
    for name in scores:
        np.testing.assert_allclose(scores[name], METRICS[name].values(evidence), rtol=1e-5)


def test_labels_and_genes_are_matched_whatever_their_order(pair: Any) -> None:
    names = ["mse", "discrimination_score_l1", "overlap_at_N"]
    plain = scdfm.score(pair[0], real=pair[1], metrics=names)
    draw = np.random.default_rng(1)
    mixed = relabelled(pair[0], **{"G2+G5": "G5+G2", "P3": "control+P3"})
    mixed = mixed[draw.permutation(mixed.n_obs), draw.permutation(mixed.n_vars)]
    pd.testing.assert_frame_equal(scdfm.score(mixed, real=pair[1], metrics=names), plain)


@pytest.mark.parametrize("form", [csr_matrix, csc_matrix, np.float16])
def test_the_form_of_the_cells_changes_nothing(pair: Any, form: Any, tmp_path: Path) -> None:
    names = ["mse", "overlap_at_N", "mmd2"]
    plain = scdfm.score(pair[0], real=pair[1], metrics=names)
    cells = pair[0].copy()
    cells.X = form(cells.X.toarray() if form is np.float16 else cells.X)
    rtol = 0.1 if form is np.float16 else 1e-6
    pd.testing.assert_frame_equal(scdfm.score(cells, real=pair[1], metrics=names), plain, rtol=rtol)
    if form is csr_matrix:
        cells.write_h5ad(tmp_path / "cells.h5ad")
        backed = read_h5ad(tmp_path / "cells.h5ad", backed="r")
        pd.testing.assert_frame_equal(scdfm.score(backed, real=pair[1], metrics=names), plain)


def test_conditions_and_genes_of_one_side_are_said(
    pair: Any, caplog: pytest.LogCaptureFixture
) -> None:
    predicted = relabelled(pair[0], P3="Q3")[:, 5:]
    with caplog.at_level(logging.WARNING):
        scores = scdfm.score(predicted, real=pair[1], metrics=["mse", "overlap_at_N", "mmd2"])
    assert scores.isna().all(axis=1).tolist() == [False, False, False, True, False]
    assert "25 genes are scored" in caplog.text
    assert "1 conditions have no predicted cells and no scores, first 'P3'" in caplog.text
    assert "1 conditions have no real cells and are left out, first 'Q3'" in caplog.text


def test_contexts_have_their_own_controls_and_rows(pair: Any) -> None:
    both = []
    for cells in pair:
        shifted = cells.copy()
        shifted.X = cells.X + 1.0 * (cells.X != 0)
        both.append(concat({"a": cells, "b": shifted}, label="place", index_unique="-"))
    scores = scdfm.score(both[0], real=both[1], context="place", metrics=["mse", "pearson_delta"])
    assert scores.index.names == ["place", "condition"]
    alone = scdfm.score(pair[0], real=pair[1], metrics=["mse", "pearson_delta"])
    pd.testing.assert_frame_equal(scores.loc["a"], alone)
    assert (scores.loc["b"] != alone).any(axis=None)


def test_training_cells_give_the_metrics_that_start_from_them(pair: Any) -> None:
    with pytest.raises(ValueError, match="starts from the training cells; give them with training"):
        scdfm.score(pair[0], real=pair[1], metrics=["weighted_mse"])
    other = screen(seed=9, conditions=("T0", "T1", "T2"))
    training = as_anndata(other, other.real, sparse=True)
    scores = scdfm.score(pair[0], real=pair[1], training=training)
    # Our simulated screen has other base means: only that they are there is a fact of it.
    for name in ("weighted_mse", "weighted_r2_delta", "pearson_delta_pertmean_top20"):
        assert scores[name].notna().all()


def test_a_perfect_prediction_by_the_profile_of_a_challenge(pair: Any) -> None:
    scores = scdfm.score(pair[1], real=pair[1], profile="vcc")
    assert {*scores} == {"overlap_at_N", "discrimination_score_l1", "mae"}
    assert scores.mean().tolist() == [1, 1, 0]


def test_cells_without_a_label_are_left_out_and_said(
    pair: Any, caplog: pytest.LogCaptureFixture
) -> None:
    real = pair[1].copy()
    real.obs.loc[real.obs["condition"] == "P4", "condition"] = np.nan
    scores = scdfm.score(pair[0], real=real, metrics=["mse"])
    assert "44 real cells have no label in 'condition'" in caplog.text
    assert [*scores.index] == ["G0", "G1", "G2+G5", "P3"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"condition": "condtion"}, "column 'condtion' in obs of the real cells.*'condition'"),
        ({"control": "PBS"}, "control cells with the label 'PBS' among the real cells"),
        ({"metrics": ["mmse"]}, "did you mean 'mse'"),
        ({"profile": "papr"}, "profile 'papr' does not exist; did you mean 'paper'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    pair: Any, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        scdfm.score(pair[0], real=pair[1], **change)
    assert "\n" not in str(caught.value)


def test_cells_that_cannot_be_compared_are_refused(pair: Any) -> None:
    counts = pair[1].copy()
    counts.X = np.round(counts.X * 3)
    with pytest.raises(ValueError, match="got whole numbers; normalise them first"):
        scdfm.score(pair[0], real=counts)
    foreign = pair[0].copy()
    foreign.var_names = [f"M{gene}" for gene in foreign.var_names]
    with pytest.raises(ValueError, match="real genes begin with 'G0', predicted ones with 'MG0'"):
        scdfm.score(foreign, real=pair[1])
    other = replace(screen(), predicted=dict.fromkeys("XYZ", screen().control))
    with pytest.raises(ValueError, match="found none of them"):
        scdfm.score(as_anndata(other, other.predicted, sparse=False), real=pair[1])
