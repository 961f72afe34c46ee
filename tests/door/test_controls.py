"""Facts of control cells in memory: what a model reads from an AnnData, and what it refuses."""

import logging

import anndata
import numpy as np
import pytest
import scipy.sparse as sp

import scdfm
from cluster.door.controls import Columns, MemoryControls, read_controls
from scdfm import Store, TrainedModel
from tests.data_store.cells import logged


def read(model: TrainedModel, adata: anndata.AnnData, **columns: str) -> MemoryControls:
    return read_controls(adata, model.card, columns=Columns(**columns))


def dense(controls: MemoryControls) -> np.ndarray:
    return controls.expression(controls.numbers)


def test_controls_of_a_store_read_as_the_store_reads_them(
    model: TrainedModel, controls: anndata.AnnData, tiny_store_path: str
) -> None:
    with Store.open(tiny_store_path) as store:
        columns = np.array([store.genes.index(gene) for gene in model.genes])
        rows = controls.obs["store_row"].to_numpy()
        expected = store.expression_at(rows, genes=columns)
    np.testing.assert_array_equal(dense(read(model, controls)), expected)


def test_genes_are_found_by_name_and_others_left_out(
    model: TrainedModel, controls: anndata.AnnData
) -> None:
    named = controls[:, ::-1].copy()
    named.var["symbol"] = named.var_names
    named.var_names = [f"ENS{k}" for k in range(named.n_vars)]
    expected = dense(read(model, controls))
    np.testing.assert_array_equal(dense(read(model, named, genes="symbol")), expected)


def test_missing_genes_are_counted_and_the_nearest_named(
    model: TrainedModel, controls: anndata.AnnData
) -> None:
    gone = list(model.genes[:2])
    some = controls[:, ~controls.var_names.isin(gone)].copy()
    with pytest.raises(ValueError, match=rf"^2 of the model's 24 genes .*first '{gone[0]}' \(did"):
        read(model, some)


def test_a_gene_of_the_model_that_comes_twice_is_refused(
    model: TrainedModel, controls: anndata.AnnData
) -> None:
    twice = controls.copy()
    names = list(twice.var_names)
    names[names.index(model.genes[0])] = model.genes[1]
    with pytest.warns(UserWarning, match="not unique"):
        extra = anndata.concat([controls, twice], axis=1, merge="same")
    with pytest.raises(ValueError, match="come twice"):
        read(model, extra)


@pytest.mark.parametrize("form", [np.asarray, sp.csc_matrix, sp.csr_array], ids=str)
def test_any_matrix_reads_the_same(
    model: TrainedModel, controls: anndata.AnnData, form: type
) -> None:
    other = controls.copy()
    other.X = form(controls.X.toarray())
    np.testing.assert_array_equal(dense(read(model, other)), dense(read(model, controls)))


def test_counts_are_taken_from_a_layer_where_x_holds_none(
    model: TrainedModel, controls: anndata.AnnData
) -> None:
    both = controls.copy()
    both.layers["counts"] = controls.X
    both.X = logged(controls).X
    assert read(model, both).scale == "counts"
    np.testing.assert_array_equal(dense(read(model, both)), dense(read(model, controls)))
    assert read(model, both, layer="X").scale == "log1p per 10k"


def test_logs_of_another_depth_are_rescaled_and_unscaled_ones_refused(
    model: TrainedModel, controls: anndata.AnnData, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        million = dense(read(model, logged(controls, depth=1e6)))
    np.testing.assert_allclose(million, dense(read(model, logged(controls))), rtol=1e-4, atol=1e-6)
    assert "log1p values of 1,000,000 (counts per million) a cell; rescaled" in caplog.text
    plain = controls.copy()
    plain.X = controls.X.log1p()
    with pytest.raises(ValueError, match="log1p values of counts that were not normalised"):
        read(model, plain)
    doubtful = controls.copy()
    part = np.random.default_rng(0).uniform(0.2, 0.3, controls.shape)
    doubtful.X = sp.csr_matrix(controls.X.toarray() * part)
    with caplog.at_level(logging.WARNING):
        read(model, doubtful)
    assert "taken for log1p per 10k" in caplog.text


def test_library_sizes_come_from_a_usual_column_else_from_row_sums(
    model: TrainedModel, controls: anndata.AnnData, caplog: pytest.LogCaptureFixture
) -> None:
    bare = controls.copy()
    del bare.obs["library_size"], bare.obs["ncounts"]
    bare.obs["total"] = controls.obs["ncounts"]
    with caplog.at_level(logging.INFO):
        assert not np.allclose(dense(read(model, bare)), dense(read(model, controls)))
    assert "row sums over 60 genes" in caplog.text
    np.testing.assert_array_equal(
        dense(read(model, bare, library_size="total")), dense(read(model, controls))
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x * 0.37 + 20, "expected (counts or )?log1p per 10k"),
        (lambda x: x - 0.5, "expected values of 0 or more"),
        (lambda x: np.where(x > 1, np.nan, x), "got NaN"),
        (lambda x: np.log1p(x * 1e6), "expected (counts or )?log1p per 10k"),
    ],
    ids=["scaled up", "negative", "NaN", "logs of another scale"],
)
def test_values_that_are_neither_counts_nor_log1p_per_10k_are_refused_in_one_line(
    model: TrainedModel, controls: anndata.AnnData, change: object, message: str
) -> None:
    assert callable(change)
    wrong = controls.copy()
    wrong.X = change(controls.X.toarray())
    with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
        read(model, wrong)


def test_perturbed_cells_are_no_controls(model: TrainedModel, tiny_adata: anndata.AnnData) -> None:
    with pytest.raises(
        ValueError, match=r"expected control cells only, got \d+ of 600 .*'control'\]"
    ):
        read(model, tiny_adata)


def test_a_column_of_another_meaning_is_no_condition(
    model: TrainedModel, controls: anndata.AnnData
) -> None:
    ill = controls.copy()
    ill.obs["condition"] = "healthy"
    assert len(read(model, ill).numbers) == controls.n_obs


def test_contexts_come_from_a_column_and_none_may_be_missing(
    model: TrainedModel, controls: anndata.AnnData
) -> None:
    assert set(read(model, controls).contexts) == {"line1", "line2"}
    other = controls.copy()
    other.obs["patient"] = ["p1", None] * (controls.n_obs // 2)
    with pytest.raises(ValueError, match=f"got {controls.n_obs // 2} of .* without one in"):
        read(model, other, context="patient")
    del other.obs["context"]
    assert set(read(model, other).contexts) == {"all"}


def test_a_cell_that_comes_twice_is_refused(model: TrainedModel, controls: anndata.AnnData) -> None:
    twice = anndata.concat([controls, controls[:3]], index_unique="-")
    with pytest.raises(ValueError, match="got repeats in obs"):
        read(model, twice)


def test_a_store_is_no_anndata(model: TrainedModel, tiny_store_path: str) -> None:
    with Store.open(tiny_store_path) as store, pytest.raises(ValueError, match="control_cells"):
        model.predict(store, model.perturbations[0])  # type: ignore[arg-type]


def test_an_open_store_says_what_it_is(tiny_store_path: str) -> None:
    with scdfm.open_store(tiny_store_path) as store:
        assert "600 cells x 60 genes, 11 conditions and the control in 2 contexts" in repr(store)
