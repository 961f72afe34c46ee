"""What cannot be a store is refused in one line, and nothing is left behind."""

import os
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from anndata.io import write_elem

from data_store.ingest.look import look_at
from data_store.ingest.write import IngestOptions, ingest
from data_store.store.reader import Store
from tests.data_store.cells import adata, listening, logged, written


def refused(path: Path, match: str, **options: object) -> None:
    store = path.parent / "store"
    before = sorted(path.parent.iterdir())
    with pytest.raises((ValueError, FileNotFoundError), match=match) as caught:
        ingest(path, store, options=IngestOptions.model_validate(options))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("expected")
    assert sorted(path.parent.iterdir()) == before


def test_no_such_file(tmp_path: Path) -> None:
    refused(tmp_path / "absent.h5ad", "no such file")


def test_not_an_h5ad(tmp_path: Path) -> None:
    path = tmp_path / "text.h5ad"
    path.write_text("not cells")
    refused(path, "which is text; a table of cells is given with --cells")


def test_an_hdf5_without_cells(tmp_path: Path) -> None:
    path = tmp_path / "empty.h5ad"
    h5py.File(path, "w").close()
    refused(path, "an HDF5 file that holds nothing")


def test_a_directory_that_is_no_zarr(tmp_path: Path) -> None:
    (tmp_path / "cells.zarr").mkdir()
    refused(
        tmp_path / "cells.zarr",
        "which is none of these .it has none.; name the file or folder inside it",
    )


def test_a_folder_without_cells(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "found nothing; name the files")
    (tmp_path / "folder" / "notes.md").write_text("no cells")
    refused(tmp_path / "folder", "found notes.md")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "cells.h5ad").touch()
    refused(tmp_path / "cells.h5ad", "which is empty")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = written(adata(), tmp_path)
    path.chmod(0)
    refused(path, "got no permission")


def test_a_truncated_h5ad(tiny_h5ad: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.h5ad"
    path.write_bytes(tiny_h5ad.read_bytes()[: tiny_h5ad.stat().st_size // 2])
    refused(path, "truncated")


def test_a_missing_column_names_those_there_are(tmp_path: Path) -> None:
    path = written(adata(batch=list("abcdef")), tmp_path)
    refused(path, "'gone'.*condition, batch.*--condition-column", condition_column="gone")
    refused(path, "'gone'.*--context-column", context_column="gone")
    refused(path, "'gone'.*--library-size-column", library_size_column="gone")
    refused(path, "'gone'.*got X.*--layer", layer="gone")


def test_a_misspelt_name_is_told_the_nearest(tmp_path: Path) -> None:
    many = {f"column_{number}": [1.0] * 6 for number in range(20)}
    cells = adata(**many, Cell_Line=["x"] * 6, total_counts=[9.0] * 6)
    cells.layers["raw_counts"] = cells.X.copy()
    cells.var["gene_symbols"] = cells.var_names.to_numpy()
    path = written(cells, tmp_path)
    refused(path, "'conditon' .nearest: 'condition'.", condition_column="conditon")
    refused(path, "'cell_line' .nearest: 'Cell_Line'.", context_column="cell_line")
    refused(path, "'raw_count' .nearest: 'raw_counts'.", layer="raw_count")
    refused(path, "'totalcount' .nearest: 'total_counts'.", library_size_column="totalcount")
    refused(path, "'gene_symbol' .nearest: 'gene_symbols'.", gene_column="gene_symbol")


def test_no_column_that_may_hold_conditions(tmp_path: Path) -> None:
    path = written(adata(column="what", batch=list("abcdef")), tmp_path)
    refused(path, "what, batch; choose with --condition-column")


def test_columns_that_contradict_each_other(tmp_path: Path) -> None:
    path = written(adata(perturbation=["ctrl", "A", "A", "B", "B", "B"]), tmp_path)
    refused(path, "several that differ: 'condition', 'perturbation'; choose with --condition-col")


def test_a_column_that_is_passed_over_is_told_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Controls without a label, or none at all: a column of a less usual name is read instead."""
    caplog.set_level("INFO")
    names = ["ctrl", "A", "A", "B", "B", "B"]
    for labels, why in (
        ([np.nan, *names[1:]], "1 cell has no label, and none is a control; label the controls"),
        (list("AAABBB"), "it holds no control"),
    ):
        path = written(adata(labels, perturbation=names), tmp_path)
        look_at([path], options=IngestOptions())
        assert f"conditions: not obs column 'condition': {why}" in caplog.messages
        caplog.clear()


def test_a_file_without_cells(tmp_path: Path) -> None:
    """Also where the column is named."""
    path = written(adata()[:0].copy(), tmp_path)
    for told in ({}, {"condition_column": "condition"}):
        refused(path, "expected cells in .*, got none", **told)


def test_no_control_cells(tmp_path: Path) -> None:
    refused(written(adata(["mock", "A", "B"]), tmp_path), "found the labels A, B, mock.*--control")
    ingest(tmp_path / "cells.h5ad", tmp_path / "store", options=IngestOptions(control=("mock",)))


def test_only_control_cells(tmp_path: Path) -> None:
    refused(written(adata(["ctrl", "ctrl"]), tmp_path), "found only control", perturbation="gene")


def test_contexts_without_controls_are_named(tmp_path: Path) -> None:
    path = written(adata(line=["x", "x", "x", "y", "z", "x"]), tmp_path)
    refused(path, "got none in y, z", context_column="line")


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (-1.0, "such as -1;"),
        (np.nan, "got NaN"),
        (np.inf, "inf"),
        (20.5, "fractions such as 20.5"),
        (5e9, "below 2"),
    ],
)
def test_values_that_are_no_counts(tmp_path: Path, value: float, match: str) -> None:
    cells = adata()
    cells.X[2, 1] = value
    refused(written(cells, tmp_path), match)


def test_log_values_where_counts_are_asked(tmp_path: Path) -> None:
    cells = adata()
    cells.layers["other"] = logged(cells).X
    refused(
        written(cells, tmp_path),
        "got log1p values of 10,000.*X: --layer X takes them, or --layer other --normalised",
        layer="other",
    )


def test_values_too_large_for_logs(tmp_path: Path) -> None:
    cells = adata()
    cells.layers["logcounts"] = cells.X * 3.7
    path = written(cells, tmp_path)
    refused(
        path,
        "corrected counts or logs of them.*counts are in X: --layer X",
        layer="logcounts",
        normalised=True,
    )


def test_gene_names_that_repeat(tmp_path: Path) -> None:
    refused(written(adata(genes=["A", "B", "A"]), tmp_path), "unique gene names.*'A'")


def test_cell_names_that_repeat(tmp_path: Path) -> None:
    cells = adata()
    cells.obs_names = ["c0", "c1", "c2", "c0", "c4", "c5"]
    refused(written(cells, tmp_path), "unique cell names.*'c0'")


def test_gene_or_drug_that_cannot_be_told(tmp_path: Path) -> None:
    refused(
        written(adata(genes=["X", "Y", "Z"]), tmp_path),
        "--perturbation gene or --perturbation",
    )


@pytest.mark.parametrize("size", [np.nan, np.inf, 0.0, -1.0])
def test_library_sizes_that_are_not_positive(tmp_path: Path, size: float) -> None:
    path = written(adata(size=[1.0, 2, 3, 4, 5, size]), tmp_path)
    refused(path, f"library sizes above 0.*'size', got {size:g};", library_size_column="size")


def test_an_unknown_excluded_condition(tmp_path: Path) -> None:
    refused(written(adata(), tmp_path), "got Q, which it does not hold", exclude=("Q",))


def test_a_place_that_is_taken(tmp_path: Path) -> None:
    path = written(adata(), tmp_path)
    (tmp_path / "store").mkdir()
    with pytest.raises(FileExistsError, match="--overwrite"):
        ingest(path, tmp_path / "store")
    ingest(path, tmp_path / "store", options=IngestOptions(overwrite=True))
    assert Store.open(tmp_path / "store").manifest.cells == 6


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    path = written(adata(), tmp_path)

    def interrupt(line: str) -> None:
        if line.startswith("library"):
            raise KeyboardInterrupt

    with listening(interrupt), pytest.raises(KeyboardInterrupt):
        ingest(path, tmp_path / "store")
    assert sorted(tmp_path.iterdir()) == [path]


def test_what_a_killed_ingest_left_is_cleared_away(tmp_path: Path) -> None:
    path = written(adata(), tmp_path)
    left = tmp_path / ".store.partial" / "cells.zarr"
    left.mkdir(parents=True)
    (left / "zarr.json").write_text("half")
    ingest(path, tmp_path / "store")
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "store"]


def test_a_damaged_block_inside_the_file_is_named(tmp_path: Path) -> None:
    cells = anndata.concat([adata()] * 50, index_unique="-")
    path = tmp_path / "cells.h5ad"
    cells.write_h5ad(path, compression="gzip")
    with h5py.File(path, "r") as file:
        place = file["X/data"].id.get_chunk_info(0)
    raw = bytearray(path.read_bytes())
    raw[place.byte_offset + 5 : place.byte_offset + 40] = b"\0" * 35
    path.write_bytes(raw)
    refused(path, f"{path}, got a truncated or damaged file")


def test_overwriting_spares_a_directory_that_is_no_store(tmp_path: Path, tiny_h5ad: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="a directory of something else"):
        ingest(tiny_h5ad, precious, options=IngestOptions(overwrite=True))
    assert (precious / "data.txt").read_text() == "mine"


def test_a_gene_list_with_a_missing_gene_names_the_nearest(tmp_path: Path) -> None:
    path = written(adata(genes=["A", "B", "MAP2K6"]), tmp_path)
    refused(
        path, "got 1 of 2 not in the sources, first 'MAP2K'.*'MAP2K6'", gene_list=("B", "MAP2K")
    )
    refused(path, "first 'zzz'; correct", gene_list=("zzz",))


def test_a_gene_list_and_a_number_of_genes_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="--genes or --gene-list, got both"):
        IngestOptions(genes=5, gene_list=("A",))


def test_a_truncated_h5ad_that_still_opens_is_named(tmp_path: Path) -> None:
    cells = anndata.concat([adata()] * 200, index_unique="-")
    path = written(cells, tmp_path)
    with h5py.File(path, "r+") as file:
        values = file["X/data"][:-7]
        del file["X/data"]
        file["X/data"] = values
    refused(path, f"{path}, got a truncated or damaged file .*missing")


def test_fractions_late_in_a_file_are_found(tmp_path: Path) -> None:
    counts = np.tile(np.arange(1, 1_201, dtype=np.float32), (1_000, 1))
    counts[950, 7] = 20.5  # between the cells that are looked at before
    genes = ["A", "B", *(f"G{k}" for k in range(1_198))]
    cells = adata(["ctrl", "A", "B", "A"] * 250, genes=genes, counts=counts)
    refused(written(cells, tmp_path), "whole counts in .*fractions such as 20.5")


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.csr_matrix.toarray])
def test_a_matrix_that_does_not_fit_its_cells_and_genes(
    tmp_path: Path, form: Callable[[sp.csr_matrix], object]
) -> None:
    path = written(adata(), tmp_path)
    with h5py.File(path, "r+") as file:
        del file["X"]
        write_elem(file, "X", form(sp.csr_matrix(np.ones((7, 4)))))
    refused(path, "matrix of .* for 6 cells and 3 genes")


def test_a_column_that_does_not_fit_its_cells(tmp_path: Path) -> None:
    path = written(adata(number=range(6)), tmp_path)
    with h5py.File(path, "r+") as file:
        del file["obs/number"]
        write_elem(file["obs"], "number", np.arange(5))
    refused(path, "obs column 'number' has 5 values for 6 cells")


def test_an_encoding_from_the_future(tmp_path: Path) -> None:
    path = written(adata(number=range(6)), tmp_path)
    with h5py.File(path, "r+") as file:
        file["obs/number"].attrs["encoding-type"] = "unheard-of"
    refused(path, f"h5ad file at {path}, got what cannot be read .*unheard-of")


def test_labels_that_are_no_utf8(tmp_path: Path) -> None:
    path = written(adata(), tmp_path)
    with h5py.File(path, "r+") as file:
        del file["obs/condition"]
        labels = [b"ctrl", b"\xff\xfe"] * 3
        made = file["obs"].create_dataset("condition", data=labels, dtype=h5py.string_dtype())
        made.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
    refused(path, "text in UTF-8")


def test_a_store_below_a_file_is_one_line(tiny_h5ad: Path, tmp_path: Path) -> None:
    table = tmp_path / "cells.csv"
    table.write_text("mine")
    with pytest.raises(
        NotADirectoryError, match=rf"above .*/x.zarr, got the file {table}; name another place"
    ):
        ingest(tiny_h5ad, table / "new" / "x.zarr", options=IngestOptions(context_column="context"))
    assert table.read_text() == "mine"
