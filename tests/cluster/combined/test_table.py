"""Facts of the table of means and intervals that is kept beside predicted cells."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

import scdfm
from cluster.predict.intervals import INTERVALS, Intervals

GENES = ("g0", "g1", "g2")


@pytest.fixture
def cells() -> anndata.AnnData:
    """Two units, whose mean of gene k is k and 10 + k."""
    units = pd.DataFrame({"condition": ["A", "B"], "context": ["x", "x"]})
    mean = np.array([[0, 1, 2], [10, 11, 12]], dtype=np.float32)
    table = Intervals(units, GENES, mean, mean - 1, mean + 1, level=0.9, note="")
    found = anndata.AnnData(
        np.zeros((2, 3), np.float32),
        obs=units.astype("category").rename(index=str),
        var=pd.DataFrame(index=[*GENES]),
    )
    found.uns["scdfm"] = {INTERVALS: table.plain()}
    return found


@pytest.mark.parametrize(
    "genes", [["g0", "g1", "g2"], ["g2", "g1", "g0"], ["g2", "g1"], ["g1"]], ids="-".join
)
@pytest.mark.filterwarnings("ignore:Writing zarr v2")
@pytest.mark.parametrize("ending", [None, ".h5ad", ".zarr"])
def test_genes_keep_their_rows_where_cells_lose_some_or_are_sorted(
    cells: anndata.AnnData, genes: list[str], ending: str | None, tmp_path: Path
) -> None:
    some: anndata.AnnData | Path = cells[:, genes].copy()
    if ending is not None:
        some = tmp_path / f"some{ending}"
        kept = cells[:, genes].copy()
        (kept.write_h5ad if ending == ".h5ad" else kept.write_zarr)(some)
    table = scdfm.intervals(some)
    assert [*table["gene"]] == genes * 2
    wanted = [10 * unit + int(gene[1]) for unit in (0, 1) for gene in genes]
    for name, less in (("mean", 0), ("low", -1), ("high", 1)):
        np.testing.assert_array_equal(table[name], np.array(wanted) + less)


def test_a_gene_that_was_not_predicted_has_no_row(cells: anndata.AnnData) -> None:
    cells.var_names = ["g0", "other", "g2"]
    assert [*scdfm.intervals(cells)["mean"]] == [0, 2, 10, 12]
    cells.var_names = ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"got none of them; take the table before renaming genes"):
        scdfm.intervals(cells)


def test_a_table_without_names_is_of_all_genes_or_refused(
    cells: anndata.AnnData, tmp_path: Path
) -> None:
    del cells.uns["scdfm"][INTERVALS]["genes"]
    assert [*scdfm.intervals(cells)["mean"]] == [0, 1, 2, 10, 11, 12]
    fewer = cells[:, ["g2", "g1"]].copy()
    fewer.write_h5ad(tmp_path / "fewer.h5ad")
    for one in (fewer, tmp_path / "fewer.h5ad"):
        with pytest.raises(ValueError, match=r"^expected the 3 genes .*, got 2; take the table"):
            scdfm.intervals(one)
