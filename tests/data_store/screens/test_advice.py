"""What is doubtful about controls, doses and names of cells is said, with a remedy that works."""

from pathlib import Path

import numpy as np
import pytest

from data_store.ingest.write import IngestOptions, ingest
from data_store.store.reader import Store
from tests.data_store.cells import adata, written
from tests.data_store.formats.test_mtx import put, version3
from tests.data_store.screens.said import advised, refused, said


def test_one_misspelt_control_among_several_is_refused_with_the_nearest(tmp_path: Path) -> None:
    line = refused(["WT", "mock", "A"], tmp_path / "s", control=("WT", "mok"))
    assert "got 'mok' (nearest: 'mock'), which no cell has; correct it" in line
    line = refused(["WT", "A|mock", "A"], tmp_path / "s", control=("WT", "mock"))
    assert "it is part of 'A|mock'" in line
    # Recipes and stores know several spellings of the control.
    store, _ = said(["WT", "mock", "A", "B+WT"], tmp_path / "s", control=("WT", "mock"))
    store.close()
    more = adata(["WT", "A"])
    more.obs_names = ["d0", "d1"]
    said(more, tmp_path / "s", append=True)[0].close()


@pytest.mark.parametrize("sign", ["_", "|", ";"])
def test_controls_behind_another_sign_are_answered_with_the_separator(
    tmp_path: Path, sign: str
) -> None:
    labels = [label.replace("+", sign) for label in ("ctrl+ctrl", "A+ctrl", "ctrl+B", "A+B")]
    line = refused(labels, tmp_path / "s")
    assert "--control" not in line
    store, _ = said(labels, tmp_path / "s", **advised(line))
    with store:
        assert set(store.conditions) == {"A", "B", "A+B"}


def test_a_perturbation_beside_a_control_is_never_advised_as_control(tmp_path: Path) -> None:
    for sign in "|;&":
        line = refused([f"A{sign}ctrl", "A", f"ctrl{sign}B", "B"], tmp_path / "s")
        assert line.endswith("name the control with --control")


def test_several_doses_of_a_condition_are_said_and_the_remedy_keeps_them_apart(
    tmp_path: Path,
) -> None:
    cells = adata(
        ["ctrl", "A", "A", "B", "B"], dose_1=[0.0, 1.0, 5.0, 2.0, 2.0], dose_unit=["uM"] * 5
    )
    store, lines = said(cells, tmp_path / "one")
    with store:
        assert set(store.conditions) == {"A", "B"}
    [line] = [line for line in lines if "dose" in line]
    assert "obs column 'dose_1' holds several doses of one condition (A), which are merged" in line
    cells.obs["condition"] = ["ctrl", "A 1.0", "A 5.0", "B 2.0", "B 2.0"]
    store, lines = said(cells, tmp_path / "two", perturbation="drug")
    with store:
        assert set(store.conditions) == {"A 1.0", "A 5.0", "B 2.0"}
    assert not any("dose" in line for line in lines)


def test_one_table_for_sources_with_the_same_cell_names_is_answered_with_a_table_each(
    tmp_path: Path,
) -> None:
    lanes = []
    for lane in ("one", "two"):
        cells = adata()
        labels = cells.obs.pop("condition")
        lanes.append(written(cells, tmp_path, f"{lane}.h5ad"))
        labels.rename_axis("barcode").to_csv(tmp_path / f"{lane}.csv")
    with pytest.raises(ValueError, match="'-one' was added, as other sources") as caught:
        ingest(lanes, tmp_path / "s", options=IngestOptions(cells=(tmp_path / "one.csv",)))
    assert "give a table for each source, --cells in the order of the sources" in str(caught.value)
    tables = (tmp_path / "one.csv", tmp_path / "two.csv")
    assert ingest(lanes, tmp_path / "s", options=IngestOptions(cells=tables)).cells == 12
    renamed = "barcode,condition\n" + "".join(
        f"{line.replace(',', f'-{lane},')}\n"
        for lane in ("one", "two")
        for line in (tmp_path / f"{lane}.csv").read_text().splitlines()[1:]
    )
    (tmp_path / "both.csv").write_text(renamed)
    told = IngestOptions(cells=(tmp_path / "both.csv",))
    assert ingest(lanes, tmp_path / "t", options=told).cells == 12


def test_repeated_barcodes_of_a_folder_are_named_where_they_stand(tmp_path: Path) -> None:
    folder = put(version3(tmp_path / "outs"), barcodes_tsv_gz="c0\nc1\nc0\nc3\nc4\nc5\n")
    with pytest.raises(ValueError, match="more than once, first 'c0'; give every line") as caught:
        ingest(folder, tmp_path / "s")
    assert "barcodes.tsv.gz" in str(caught.value)


def test_a_parse_folder_needs_ids_or_names_of_genes(tmp_path: Path) -> None:
    matrix = "%%MatrixMarket matrix coordinate integer general\n2 3 3\n1 1 4\n2 2 5\n1 3 1\n"
    cells = "bc_wells,sample\na,ctrl\nb,X\n"
    for header, names in (("gene_name", ["A", "B", "C"]), ("gene_id", ["A", "B", "C"])):
        folder = put(
            tmp_path / header,
            count_matrix_mtx=matrix,
            all_genes_csv=f"{header},genome\n" + "".join(f"{name},g\n" for name in names),
            cell_metadata_csv=cells,
        )
        options = IngestOptions(condition_column="sample", perturbation="drug")
        ingest(folder, tmp_path / f"{header}.zarr", options=options)
        with Store.open(tmp_path / f"{header}.zarr") as store:
            assert list(store.genes) == names
            assert np.asarray(store.counts(0, 2).sum()) == 10
    put(folder, all_genes_csv="symbol,genome\nA,g\nB,g\nC,g\n")
    with pytest.raises(ValueError, match="no column 'gene_id' or 'gene_name', but symbol, genome"):
        ingest(folder, tmp_path / "s")
