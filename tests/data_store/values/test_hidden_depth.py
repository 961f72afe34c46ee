"""Log values of some genes: the cells' own counts tell the depth that their sums hide."""

from pathlib import Path

import anndata
import numpy as np
import pytest
import scipy.sparse as sp

from data_store.sources.notes import kept_notes
from data_store.store.reader import Store
from tests.data_store.screens.said import refused, said
from tests.data_store.values.screens import (
    GENES,
    Change,
    counted,
    few_genes,
    log2_per_million,
    not_logged,
    per_10k,
    per_million,
    taken,
    to_median,
)


def totalled(change: Change, name: str = "n_counts") -> anndata.AnnData:
    """Half of the genes of normalised cells, with the counts of all genes in obs."""
    cells = few_genes(change)(counted())
    cells.obs[name] = np.asarray(counted().X.sum(axis=1)).ravel()
    return cells


@pytest.mark.parametrize("change", [to_median, per_million, log2_per_million, not_logged])
@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.csr_matrix.toarray])
def test_the_counts_of_a_cell_tell_the_depth_of_some_genes(change: Change, form: type) -> None:
    cells = totalled(change)
    cells.X = form(cells.X)
    found, values = taken(cells, normalised=True)
    assert found.values.told_by == "n_counts"
    right = per_10k(counted()).X.toarray()[:, : GENES // 2]
    np.testing.assert_allclose(values.toarray(), right, rtol=2e-5)


def test_some_genes_of_log1p_per_10k_need_no_option_where_counts_tell_the_depth() -> None:
    cells = totalled(per_10k)
    with kept_notes() as lines:
        found, values = taken(cells)
    assert found.normalised
    assert (values != cells.X).nnz == 0
    assert "10,000 a cell (genes left out; obs column 'n_counts' tells it)" in lines[0]


def test_columns_that_are_not_the_counts_of_all_genes_tell_nothing() -> None:
    draw, whole = np.random.default_rng(0), np.asarray(counted().X.sum(axis=1)).ravel()
    others = {
        "of the genes that are left": np.asarray(counted().X[:, : GENES // 2].sum(axis=1)).ravel(),
        "of another order": draw.permutation(whole),
        "one number": np.full(len(whole), 10_000.0),
        "not whole": whole * 0.1234,
        "missing": np.full(len(whole), np.nan),
    }
    for sizes in others.values():
        cells = totalled(per_million)
        cells.obs["n_counts"] = sizes
        with pytest.raises(ValueError, match="genes left out, or several depths"):
            taken(cells)


def test_a_column_that_is_named_is_used_or_refused(tmp_path: Path) -> None:
    cells = totalled(per_million, "umis")
    store, lines = said(cells, tmp_path / "store", normalised=True, library_size_column="umis")
    assert any("obs column 'umis' tells it" in line for line in lines)
    with store:
        assert store.manifest.recipe.library_size_column == "umis"
        assert store.manifest.recipe.depths == {cells_name(store): 1e6}
    whole = per_10k(counted())
    whole.obs["umis"] = 5.0
    assert "whose depth 'umis' does not tell; leave the option out" in refused(
        whole, tmp_path / "other", library_size_column="umis"
    )


def cells_name(store: Store) -> str:
    return store.manifest.sources[0].name


def test_a_cell_of_a_larger_depth_is_an_error() -> None:
    found, _ = taken(totalled(per_10k))
    block = sp.csr_matrix(totalled(per_million).X)
    with pytest.raises(ValueError, match="add up to at most 10,000 before the logarithm"):
        found.taken(block, where="later cells")
