"""A list of genes decides what a store keeps, beside the perturbed ones."""

from pathlib import Path

import numpy as np
from anndata.io import read_zarr

from data_store.ingest.write import IngestOptions, ingest
from tests.data_store.cells import adata, written


def test_listed_and_perturbed_genes_are_kept_with_the_library_of_all(tmp_path: Path) -> None:
    cells = adata(genes=["A", "B", "C", "D"])
    options = IngestOptions(gene_list=("D",))
    said = ingest(written(cells, tmp_path), tmp_path / "store", options=options).detections
    found = read_zarr(tmp_path / "store" / "cells.zarr")
    assert list(found.var_names) == ["A", "B", "D"]
    library = np.asarray(cells[found.obs_names].X.sum(axis=1)).ravel()
    np.testing.assert_array_equal(found.obs["library_size"], library)
    assert any("kept 3 of 4 (seen in 0 cells, among the 1 listed, or perturbed)" in x for x in said)
