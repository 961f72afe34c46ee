"""A column that nobody named is the library size only if it adds up counts."""

from pathlib import Path

import anndata
import numpy as np
import pytest

from tests.data_store.cells import adata, logged
from tests.data_store.screens.said import advised, said

_CELLS = 12


def screen() -> anndata.AnnData:
    """Shallow cells, whose logs add up to more than their counts."""
    draw = np.random.default_rng(0)
    counts = draw.poisson(0.5, (_CELLS, 40)) + np.eye(_CELLS, 40, dtype=int)
    return adata(["ctrl", "A", "B"] * 4, genes=["A", "B", *map(str, range(38))], counts=counts)


def sums(cells: anndata.AnnData) -> np.ndarray:
    return np.asarray(cells.X.sum(axis=1), dtype=np.float64).ravel()


@pytest.mark.parametrize(
    ("totals", "why"),
    [
        (sums(logged(screen())), "it has fractions in 12 cells"),
        (np.full(_CELLS, 10_000.0), "it is 10,000 in every cell"),
        (np.full(_CELLS, 1_000_000), "it is 1,000,000 in every cell"),
    ],
    ids=["of logs", "of normalised values", "per million"],
)
def test_totals_of_other_values_than_counts_are_not_taken(
    tmp_path: Path, totals: np.ndarray, why: str
) -> None:
    cells = screen()
    assert (totals >= sums(cells)).all()  # so that a comparison with row sums does not tell
    cells.obs["total_counts"] = totals
    store, lines = said(cells, tmp_path / "store")
    with store:
        sizes = np.concatenate([store.obs(u.start, u.stop)["library_size"] for u in store.units])
    assert sorted(sizes) == sorted(sums(cells))
    [line] = [line for line in lines if "not 'total_counts'" in line]
    assert why in line
    store, _ = said(cells, tmp_path / "asked", **advised(line))
    with store:
        sizes = np.concatenate([store.obs(u.start, u.stop)["library_size"] for u in store.units])
    np.testing.assert_allclose(sorted(sizes), sorted(totals))


def test_totals_of_counts_are_taken_where_genes_were_left_out(tmp_path: Path) -> None:
    cells = screen()
    cells.obs["total_counts"] = sums(cells).astype(np.float32) * 3 + 7
    _, lines = said(cells, tmp_path / "store")
    assert "library size: obs column 'total_counts'" in lines
