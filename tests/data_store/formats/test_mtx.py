"""A folder with a Matrix Market file gives the cells of its makers, in any order of its entries."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import scanpy
import scipy.sparse as sp
from anndata.io import read_zarr

from data_store.ingest.write import IngestOptions, ingest
from data_store.sources.formats import matrices
from data_store.sources.formats.format import Reading
from data_store.sources.formats.known import open_source
from data_store.sources.places import find
from data_store.sources.source import Source
from tests.data_store.formats.test_tenx import KINDS, SYMBOLS, features_by_cells, table

GENES = "".join(
    f"ENSG{k}\t{symbol}\t{kind}\n"
    for k, (symbol, kind) in enumerate(zip(SYMBOLS, KINDS, strict=True))
)
BARCODES = "".join(f"c{k}\n" for k in range(6))


def entries(counts: sp.csc_matrix, order: str = "by column") -> str:
    """The lines of genes x cells, cells in order unless told."""
    parts = sp.coo_matrix(counts)
    lines = np.column_stack([parts.row + 1, parts.col + 1, parts.data])
    if order == "by column":
        lines = lines[np.lexsort((lines[:, 0], lines[:, 1]))]
    elif order == "by row":
        lines = lines[np.lexsort((lines[:, 1], lines[:, 0]))]
    elif order == "any":
        lines = np.random.default_rng(0).permutation(lines)
    elif order == "late":  # two kinds of features, one after the other
        lines = lines[np.lexsort((lines[:, 0], lines[:, 1], lines[:, 0] > 2))]
    size = f"{counts.shape[0]} {counts.shape[1]} {len(lines)}\n"
    head = f"%%MatrixMarket matrix coordinate integer general\n%\n{size}"
    return head + "".join(f"{g} {c} {v}\n" for g, c, v in lines.tolist())


def put(folder: Path, **files: str) -> Path:
    """The folder with these files; `x_tsv_gz` is x.tsv.gz, compressed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name.replace("_mtx", ".mtx").replace("_tsv", ".tsv").replace(
            "_csv", ".csv"
        ).replace("_gz", ".gz")
        content = text.encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return folder


def version3(folder: Path, *, order: str = "by column") -> Path:
    return put(
        folder,
        matrix_mtx_gz=entries(features_by_cells(), order),
        features_tsv_gz=GENES,
        barcodes_tsv_gz=BARCODES,
    )


def version2(folder: Path) -> Path:
    return put(
        folder,
        matrix_mtx=entries(features_by_cells()[:3]),
        genes_tsv="ENSG0\tA\nENSG1\tB\nENSG2\tC\n",
        barcodes_tsv=BARCODES,
    )


def parse(folder: Path, *, order: str = "by row") -> Path:
    """Parse's files: cells x genes."""
    turned = sp.csc_matrix(features_by_cells()[:3].T)
    cells = "".join(f"01_0{k},{'ctrl' if k < 3 else 'A'},{10 * k}\n" for k in range(6))
    return put(
        folder,
        count_matrix_mtx=entries(turned, order),
        all_genes_csv="gene_id,gene_name,genome\nENSG0,A,hg38\nENSG1,B,hg38\nENSG2,A,hg38\n",
        cell_metadata_csv=f"bc_wells,sample,tscp_count\n{cells}",
    )


def rows(source: Source, *, elements: int = 7) -> np.ndarray:
    blocks = source.blocks("X", elements=elements)
    return sp.vstack([block for _, block in blocks]).toarray()


def test_cells_of_cellranger_3_are_those_that_scanpy_reads(tmp_path: Path) -> None:
    folder = version3(tmp_path / "cells")
    source = open_source(folder)
    expected = scanpy.read_10x_mtx(folder)  # gene expression only, as here
    np.testing.assert_array_equal(rows(source), expected.X.toarray())
    assert source.genes == ("A", "B", "C", "B_ENSG3")
    assert list(source.var["gene_ids"]) == list(expected.var["gene_ids"])
    assert source.cell_names(0, 6).tolist() == [name.encode() for name in expected.obs_names]


def test_cells_of_cellranger_2_and_of_parse_are_read(tmp_path: Path) -> None:
    expected = features_by_cells()[:3].T.toarray()
    for folder in (version2(tmp_path / "two"), parse(tmp_path / "parse")):
        np.testing.assert_array_equal(rows(open_source(folder)), expected)
    source = open_source(tmp_path / "parse")
    assert source.genes == ("A", "B", "A_ENSG2")
    assert list(source.columns) == ["sample", "tscp_count"]
    assert source.cell_names(5, 6).tolist() == [b"01_05"]


@pytest.mark.parametrize("order", ["by column", "by row", "any"])
def test_rows_are_the_same_in_every_order_of_the_entries(tmp_path: Path, order: str) -> None:
    expected = features_by_cells()[:3].T.toarray()
    np.testing.assert_array_equal(rows(open_source(parse(tmp_path, order=order))), expected)


@pytest.fixture
def short_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few entries tell their order that this small file seems to be in order."""
    monkeypatch.setattr(matrices, "_HEAD", 4)


@pytest.mark.usefixtures("short_head")
def test_a_file_that_leaves_its_order_late_gives_the_same_store(tmp_path: Path) -> None:
    told = IngestOptions(cells=(table(tmp_path),))
    stored = {}
    for order in ("by column", "late"):
        folder = version3(tmp_path / order, order=order)
        assert open_source(folder).matrices["X"].form == "by row"
        said = ingest(folder, tmp_path / "stores" / order, options=told).detections
        assert any("not listed cell by cell to the end" in line for line in said) == (
            order == "late"
        )
        stored[order] = read_zarr(tmp_path / "stores" / order / "cells.zarr")
    first, late = stored.values()
    assert list(first.obs_names) == list(late.obs_names)
    np.testing.assert_array_equal(first.X.toarray(), late.X.toarray())


def test_features_of_other_types_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    folder = version3(tmp_path / "cells")
    every = Reading(feature_types=("Gene Expression", "Antibody Capture"))
    assert open_source(folder, reading=every).genes == ("A", "B", "C", "B_ENSG3", "CD3")
    with pytest.raises(ValueError, match=r"'Peaks' .* found Antibody Capture, Gene"):
        open_source(folder, reading=Reading(feature_types=("Peaks",)))


def test_a_folder_of_samples_with_prefixes_or_folders_is_all_of_them(tmp_path: Path) -> None:
    inside = tmp_path / "geo"
    for sample in ("GSM1_", "GSM2_"):
        for file in version3(tmp_path / "one").iterdir():
            inside.mkdir(exist_ok=True)
            (inside / f"{sample}{file.name}").write_bytes(file.read_bytes())
    assert [place.path.name for place in find([inside])] == [
        "GSM1_matrix.mtx.gz",
        "GSM2_matrix.mtx.gz",
    ]
    assert open_source(inside / "GSM1_matrix.mtx.gz").cells == 6
    version2(tmp_path / "lanes" / "a")
    version2(tmp_path / "lanes" / "b")
    assert [place.path.name for place in find([tmp_path / "lanes"])] == ["a", "b"]


def test_what_else_lies_in_the_folder_is_not_part_of_the_source(tmp_path: Path) -> None:
    folder, told = version3(tmp_path / "cells"), IngestOptions(cells=(table(tmp_path),))
    first = ingest(folder, folder / "store", options=told)
    assert ingest(folder, folder / "store", options=told) == first  # done already
    (folder / "barcodes.tsv.gz").write_bytes(gzip.compress(BARCODES.replace("c", "d").encode()))
    with pytest.raises(ValueError, match="has no row"):
        ingest(folder, folder / "store", options=told)


def refused(path: Path, match: str, kind: type[Exception] = ValueError) -> None:
    with pytest.raises(kind, match=match) as caught:
        list(open_source(path).blocks("X", elements=100))
    assert "\n" not in str(caught.value)


def test_a_missing_or_wrong_file_is_named(tmp_path: Path) -> None:
    folder = version3(tmp_path / "cells")
    barcodes = folder / "barcodes.tsv.gz"
    barcodes.write_bytes(gzip.compress(b"c1\nc2\n"))
    refused(folder, "matrix.mtx.gz is of 5 x 6, but features.tsv.gz has 5 .* barcodes.tsv.gz 2")
    barcodes.unlink()
    refused(
        folder,
        "expected the cells of .* in barcodes.tsv or barcodes.tsv.gz beside it",
        FileNotFoundError,
    )


def test_a_truncated_matrix_is_told_with_both_figures(tmp_path: Path) -> None:
    folder = version2(tmp_path / "cells")
    text = (folder / "matrix.mtx").read_text()
    (folder / "matrix.mtx").write_text(text[: text.rindex("\n", 0, -2) + 1])
    refused(folder, r"promises \d+ entries, \d+ are there: it is truncated")
