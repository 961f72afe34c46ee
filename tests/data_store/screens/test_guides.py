"""Guides of cells become conditions of genes by a table and a stated rule."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from data_store.ingest.write import IngestOptions, ingest
from data_store.sources.formats.memory import of_memory
from data_store.sources.guides import with_guides
from data_store.store.export import to_adata
from data_store.store.integrity import verify
from data_store.store.reader import Store
from data_store.store.schema import GENES_OF_GUIDES
from tests.data_store.cells import adata
from tests.data_store.screens.said import advised, refused, said

TABLE = "guide,gene\nNT_1,NT\nNT_2,NT\nNT_3,NT\nsgA_1,A\nsgA_2,A\nsgB_1,B\nsg_C-1,C\n"
CALLS = ["NT_1", "NT_2|NT_3", "sgA_1", "sgA_1|sgA_2", "sgB_1|NT_1", "sgA_2|sgB_1",
         "sgB_1|sgA_1|sg_C-1", "sg_C-1"]  # fmt: skip
GENES = ["NT", "NT", "A", "A", "B", "A+B", "A+B+C", "C"]


def table(folder: Path, content: str = TABLE, name: str = "guides.csv") -> Path:
    path = folder / name
    path.write_text(content)
    return path


def cells(calls: Sequence[Any] = CALLS, *, column: str = "feature_call", **obs: Any) -> Any:
    return adata(calls, column=column, **obs)


def genes_of(calls: Sequence[Any], path: Path, **options: Any) -> list[Any]:
    """The conditions of cells with these guides."""
    told = IngestOptions.model_validate({"guides": path, **options})
    [source], _ = with_guides([of_memory(cells(calls))], options=told)
    column = source.columns[GENES_OF_GUIDES]
    block = source.obs_block([column], start=0, stop=len(calls))
    assert column.categories is not None
    names = [*column.categories.tolist(), None]
    return [names[code] for code in block[column.key("codes")]]


def test_guides_of_a_gene_are_that_gene_and_of_several_a_combination(tmp_path: Path) -> None:
    store, lines = said(cells(), tmp_path / "store", guides=table(tmp_path))
    with store:
        assert store.manifest.perturbation == "gene"
        assert set(store.conditions) == {"A", "B", "C", "A+B", "A+B+C"}
        found = to_adata(store).obs
        assert sorted(zip(found["feature_call"], found[GENES_OF_GUIDES], strict=True)) == sorted(
            zip(CALLS, GENES, strict=True)
        )
        assert sum(map(len, store.controls.values())) == 2
    assert any("2 cells have guides of several genes" in line for line in lines)
    assert verify(tmp_path / "store") == []


def test_cells_with_guides_of_several_genes_are_left_out_on_demand(tmp_path: Path) -> None:
    told = {"guides": table(tmp_path), "multi_guide": "drop"}
    store, lines = said(cells(), tmp_path / "store", **told)
    with store:
        assert set(store.conditions) == {"A", "B", "C"}
        assert store.manifest.cells == 6
    assert any(line.startswith("left out: 2 cells of guides of several genes") for line in lines)


@pytest.mark.parametrize("sign", ["|", ";", ",", "+", "_", "; ", " / ", "&"])
def test_guides_are_told_apart_whatever_stands_between_them(tmp_path: Path, sign: str) -> None:
    calls = [call.replace("|", sign) for call in CALLS]
    assert genes_of(calls, table(tmp_path)) == GENES


def test_guides_whose_names_hold_the_sign_stay_whole(tmp_path: Path) -> None:
    names = "guide,gene\nA_+_1-P1|A_-_2-P2,A\nB_+_3,B\nNO_SITE_1,ctrl\n"
    calls = ["A_+_1-P1|A_-_2-P2", "B_+_3|A_+_1-P1|A_-_2-P2", "NO_SITE_1+B_+_3", "NO_SITE_1"]
    assert genes_of(calls, table(tmp_path, names)) == ["A", "A+B", "B", "ctrl"]


def test_controls_need_no_row_if_a_pattern_names_them(tmp_path: Path) -> None:
    path = table(tmp_path, "guide,gene\nsgA_1,A\nsgB_1,B\n")
    calls = ["NT_1", "NT_2|NT_9", "NT_3|sgA_1", "NT_1_sgB_1", "sgA_1|NT_7|sgB_1"]
    found = genes_of(calls, path, control=("NT_*",))
    assert found == ["NT_1", "NT_2", "A", "B", "A+B"]
    store, _ = said(cells(calls), tmp_path / "s", guides=path, control=("NT_*",))
    with store:
        assert set(store.conditions) == {"A", "B", "A+B"}
        assert sum(map(len, store.controls.values())) == 2


def test_a_guide_without_a_row_is_refused_with_the_nearest_or_left_out(tmp_path: Path) -> None:
    calls = ["NT_1", "sgA_1", "sgA_3|sgB_1", "sgA_3", "sgB_1"]
    line = refused(cells(calls), tmp_path / "s", guides=table(tmp_path))
    assert "got none for 1 of 4 (2 cells), first 'sgA_3' (nearest: 'sgA_2')" in line
    told = {"guides": table(tmp_path), "drop_unlabelled": True}
    store, lines = said(cells(calls), tmp_path / "s", **told)
    with store:
        assert store.manifest.cells == 3
    assert any("2 cells have no label" in line for line in lines)


def test_controls_that_the_table_leaves_out_are_told_how_to_name(tmp_path: Path) -> None:
    path = table(tmp_path, "guide,gene\nsgA_1,A\nsgB_1,B\nneg,non-targeting\n")
    calls = ["NT_1", "NT_2", "NT_3|sgA_1", "sgB_1", "neg"]
    line = refused(cells(calls), tmp_path / "s", guides=path)
    assert "got none for 3 of 6 (3 cells), first 'NT_1'" in line
    assert "NT_1, NT_2, NT_3 may be controls: --control non-targeting --control 'NT_*'" in line
    store, _ = said(cells(calls), tmp_path / "s", guides=path, **advised(line.split(";")[-1]))
    with store:
        assert set(store.conditions) == {"A", "B"}
        assert sum(map(len, store.controls.values())) == 3


def test_cellrangers_feature_reference_is_a_table_of_guides(tmp_path: Path) -> None:
    content = (
        "id,name,read,pattern,sequence,feature_type,target_gene_id,target_gene_name\n"
        "g1,A-1,R2,(BC),ACGT,CRISPR Guide Capture,ENSG1,A\n"
        "g2,A-2,R2,(BC),ACGA,CRISPR Guide Capture,ENSG1,A\n"
        "g3,neg,R2,(BC),ACGC,CRISPR Guide Capture,Non-Targeting,Non-Targeting\n"
        "p1,CD3,R2,(BC),TTTT,Antibody Capture,,\n"
    )
    path = table(tmp_path, content)
    assert genes_of(["g1", "g3", "g2|g1"], path) == ["A", "Non-Targeting", "A"]
    assert genes_of(["A-1", "neg", "A-2|neg"], path) == ["A", "Non-Targeting", "A"]


def test_two_columns_of_guides_are_read_together(tmp_path: Path) -> None:
    two = adata(
        ["NT_1", "sgA_1", "sgA_1", "NT_2", None], column="first",
        second=["NT_2", "NT_1", "sgB_1", None, None],
    )  # fmt: skip
    told = {"guides": table(tmp_path), "condition_column": ("first", "second")}
    store, _ = said(two, tmp_path / "s", **told, drop_unlabelled=True)
    with store:
        assert set(store.conditions) == {"A", "A+B"}
        assert sum(map(len, store.controls.values())) == 2


def test_tables_that_are_none_are_refused_in_one_line(tmp_path: Path) -> None:
    for content, words in (
        ("a,b,c\n1,2,3\n", "expected columns of guides and genes in"),
        ("guide,gene\nNT_1,NT\nNT_1,A\n", "got NT, A for 'NT_1'; keep one"),
        ("guide,gene\nsgA_1,A+B\n", "got 'A+B', which holds the sign between genes"),
        ("guide\n", "expected names of guides and at least one other column"),
    ):
        assert words in refused(cells(), tmp_path / "s", guides=table(tmp_path, content))
    line = refused(cells(column="what"), tmp_path / "s", guides=table(tmp_path))
    assert "expected an obs column of guides, such as 'feature_call'" in line
    assert genes_of(["NT_1", "sgA_1"], table(tmp_path, "x,y\nNT_1,NT\nsgA_1,A\n")) == ["NT", "A"]


def test_a_changed_table_is_another_source(tmp_path: Path) -> None:
    said(cells(), tmp_path / "s", guides=table(tmp_path))[0].close()
    path = table(tmp_path, TABLE.replace("sg_C-1,C", "sg_C-1,B"))
    with pytest.raises(FileExistsError, match="--overwrite"):
        ingest(cells(), tmp_path / "s", options=IngestOptions(guides=path))


def test_a_store_of_guides_grows_with_a_table(tmp_path: Path) -> None:
    told = {"guides": table(tmp_path), "multi_guide": "drop"}
    said(cells(), tmp_path / "s", **told)[0].close()
    more = cells(["NT_1", "sgB_1|sgB_1", "sgA_1|sgB_1", "sg_C-1|sgA_1"])
    more.obs_names = ["d0", "d1", "d2", "d3"]
    with pytest.raises(ValueError, match="pass --guides TABLE"):
        ingest(more, tmp_path / "s", options=IngestOptions(append=True))
    manifest = ingest(
        more, tmp_path / "s", options=IngestOptions(append=True, guides=told["guides"])
    )
    assert manifest.cells == 8
    with Store.open(tmp_path / "s") as store:
        assert set(store.conditions) == {"A", "B", "C"}
    assert verify(tmp_path / "s") == []


def test_guides_without_a_table_name_the_option(tmp_path: Path) -> None:
    line = refused(cells(), tmp_path / "s")
    assert "'feature_call' may hold guides, --guides TABLE tells their genes" in line
    line = refused(
        cells(["NT_1", "sgA_1", "sgB_2"]), tmp_path / "s",
        condition_column="feature_call", control=("NT_*",),
    )  # fmt: skip
    assert "they look like guides (sgA_1: A), --guides TABLE tells their genes" in line


def test_calls_beside_a_10x_file_tell_the_guides_of_its_cells(tmp_path: Path) -> None:
    matrix = tmp_path / "sample_filtered_feature_bc_matrix.h5"
    tenx(adata(["x"] * 4), matrix)
    (tmp_path / "crispr_analysis").mkdir()
    (tmp_path / "crispr_analysis" / "protospacer_calls_per_cell.csv").write_text(
        "cell_barcode,num_features,feature_call,num_umis\n"
        "c0,1,NT_1,12\nc1,2,sgA_1|sgA_2,3|9\nc2,1,sgB_1,4\n"
    )
    told = IngestOptions(guides=table(tmp_path), drop_unlabelled=True)
    said = ingest(matrix, tmp_path / "s", options=told).detections
    assert any("protospacer_calls_per_cell.csv tells the guides of sample" in one for one in said)
    with Store.open(tmp_path / "s") as store:
        assert set(store.conditions) == {"A", "B"}
        assert store.manifest.cells == 3


def tenx(cells: anndata.AnnData, path: Path) -> None:
    """As CellRanger writes."""
    counts = sp.csr_matrix(cells.X)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(list(cells.obs_names), dtype="S")
        group["shape"] = np.array([cells.n_vars, cells.n_obs])
        for part in ("data", "indices", "indptr"):
            group[part] = getattr(counts, part).astype(np.int64)
        features = group.create_group("features")
        for part in ("name", "id"):
            features[part] = np.array(list(cells.var_names), dtype="S")
        features["feature_type"] = np.array(["Gene Expression"] * cells.n_vars, dtype="S")


def test_a_table_may_be_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"sgRNA": ["g1", "g2"], "Target": ["A", "ctrl"]})
    frame.to_parquet(tmp_path / "guides.parquet")
    assert genes_of(["g1", "g2;g1"], tmp_path / "guides.parquet") == ["A", "A"]
