"""10x files of both layouts give cells x genes, their conditions from a table."""

from collections.abc import Sequence
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import scanpy
import scipy.sparse as sp
from anndata.io import read_zarr

from data_store.ingest.write import IngestOptions, ingest
from data_store.sources.formats.known import open_source

SYMBOLS = ("A", "B", "C", "B", "CD3")
KINDS = ("Gene Expression",) * 4 + ("Antibody Capture",)


def features_by_cells(cells: int = 6) -> sp.csc_matrix:
    counts = (np.arange(cells * len(SYMBOLS)) % 7).reshape(cells, len(SYMBOLS))
    return sp.csc_matrix(counts.T.astype(np.int32))


def write_parts(group: h5py.Group, matrix: sp.csc_matrix) -> None:
    """What both layouts share; indices are int64 there."""
    group["barcodes"] = np.array([f"c{k}" for k in range(matrix.shape[1])], dtype="S")
    group["data"], group["shape"] = matrix.data, np.array(matrix.shape, dtype=np.int32)
    group["indices"], group["indptr"] = (
        matrix.indices.astype(np.int64),
        matrix.indptr.astype(np.int64),
    )


def version3(
    path: Path, *, symbols: Sequence[str] = SYMBOLS, kinds: Sequence[str] = KINDS, cells: int = 6
) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        write_parts(group, features_by_cells(cells))
        parts = group.create_group("features")
        ids = [f"ENSG{k}" for k in range(len(symbols))]
        columns = {"name": symbols, "id": ids, "feature_type": kinds, "genome": ["x"] * len(ids)}
        for name, values in columns.items():
            parts[name] = np.array(list(values), dtype="S")
        parts["_all_tag_keys"] = np.array(["genome"], dtype="S")
    return path


def version2(path: Path, *, genomes: Sequence[str] = ("GRCh38",)) -> Path:
    with h5py.File(path, "w") as file:
        for genome in genomes:
            group = file.create_group(genome)
            write_parts(group, features_by_cells()[:3])
            group["genes"] = np.array(["ENSG0", "ENSG1", "ENSG2"], dtype="S")
            group["gene_names"] = np.array(SYMBOLS[:3], dtype="S")
    return path


def table(folder: Path) -> Path:
    path = folder / "cells.csv"
    labels = ["ctrl", "ctrl", "A", "A", "A+B", "B"]
    rows = [f"c{k},{label},{k * 10}" for k, label in enumerate(labels)]
    path.write_text("\n".join(["barcode,condition,umis", *rows]))
    return path


def stored(path: Path, store: Path, **options: object) -> tuple[anndata.AnnData, list[str]]:
    told = IngestOptions.model_validate({"cells": (table(path.parent),), **options})
    said = list(ingest(path, store, options=told).detections)
    return read_zarr(store / "cells.zarr"), said


def test_cells_of_cellranger_3_are_those_that_scanpy_reads(tmp_path: Path) -> None:
    path = version3(tmp_path / "cells.h5")
    found, said = stored(path, tmp_path / "store")
    expected = scanpy.read_10x_h5(path)  # gene expression only, as here
    np.testing.assert_array_equal(found.X.toarray(), expected[list(found.obs_names)].X.toarray())
    assert list(found.var_names) == ["A", "B", "C", "B_ENSG3"]
    assert list(found.var["gene_ids"]) == list(expected.var["gene_ids"])
    assert any("left out features that are not genes: 1 of type Antibody" in x for x in said)
    assert any("1 repeated gene names got their id added, such as B_ENSG3" in x for x in said)


def test_cells_of_cellranger_2_are_those_that_scanpy_reads(tmp_path: Path) -> None:
    path = version2(tmp_path / "cells.h5")
    found, _ = stored(path, tmp_path / "store")
    expected = scanpy.read_10x_h5(path)[list(found.obs_names)]
    np.testing.assert_array_equal(found.X.toarray(), expected.X.toarray())
    assert list(found.var_names) == ["A", "B", "C"]


def test_labels_and_numbers_of_the_table_become_obs(tmp_path: Path) -> None:
    found, said = stored(version3(tmp_path / "cells.h5"), tmp_path / "store")
    assert dict(found.obs["condition"])["c4"] == "A+B"
    assert dict(found.obs["umis"])["c5"] == 50
    assert "cells.csv: 6 of 6 cells of cells.h5 have a row" in " ".join(said)


def test_rows_are_read_in_blocks(tmp_path: Path) -> None:
    source = open_source(version3(tmp_path / "cells.h5", cells=50))
    blocks = list(source.blocks("X", elements=20))
    assert len(blocks) > 5
    assert max(rows.nnz for _, rows in blocks) <= 20
    np.testing.assert_array_equal(
        sp.vstack([rows for _, rows in blocks]).toarray(), features_by_cells(50).T.toarray()[:, :4]
    )
    source.close()


def refused(path: Path, match: str) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        open_source(path)
    assert "\n" not in str(caught.value)


def test_an_h5_that_is_not_10x_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = np.arange(3)
    refused(tmp_path / "other.h5", "h5ad file, .* a 10x .h5 file, .* that holds numbers")


def test_two_genomes_in_one_old_file_are_refused(tmp_path: Path) -> None:
    refused(version2(tmp_path / "c.h5", genomes=["hg19", "mm10"]), "one genome.*hg19, mm10")


def test_a_file_without_gene_expression_is_refused(tmp_path: Path) -> None:
    path = version3(tmp_path / "c.h5", kinds=["Antibody Capture"] * 5)
    refused(path, "features of type 'Gene Expression'.*found Antibody Capture")


def test_a_file_that_lost_barcodes_is_refused(tmp_path: Path) -> None:
    path = version3(tmp_path / "c.h5")
    with h5py.File(path, "r+") as file:
        del file["matrix/barcodes"]
        file["matrix/barcodes"] = np.array(["c0"], dtype="S")
    refused(path, "expected 6 barcodes.*found 1")


def test_without_a_table_its_option_is_named(tmp_path: Path) -> None:
    path = version3(tmp_path / "cells.h5")
    with pytest.raises(ValueError, match=r"obs columns.*with --cells"):
        ingest(path, tmp_path / "store")
