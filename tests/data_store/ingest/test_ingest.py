"""A store holds exactly the cells of its source, whatever the source looks like."""

import logging
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scanpy
import scipy.sparse as sp
import zarr
from anndata.io import read_zarr, sparse_dataset

from data_store.disk.workers import affordable
from data_store.ingest import spill
from data_store.ingest.look import look_at
from data_store.ingest.write import IngestOptions, ingest
from data_store.store.reader import Store
from tests.data_store.cells import adata, logged, written


def stored(path: Path) -> anndata.AnnData:
    return read_zarr(path / "cells.zarr")


def take(
    cells: anndata.AnnData, folder: Path, *, name: str = "cells.h5ad", **options: object
) -> tuple[Path, list[str]]:
    store = folder / "store"
    told = IngestOptions.model_validate(options)
    return store, list(ingest(written(cells, folder, name), store, options=told).detections)


def same_cells(store: Path, cells: anndata.AnnData) -> None:
    found = stored(store)
    expected = cells[found.obs_names].copy()
    assert (found.X != expected.X).nnz == 0
    assert sorted(found.obs_names) == sorted(cells.obs_names)


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr"])
@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_every_form_of_file_gives_the_same_cells(tmp_path: Path, name: str, form: str) -> None:
    cells = adata()
    forms = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": lambda x: x.toarray()}
    changed = cells.copy()
    changed.X = forms[form](cells.X)
    store, said = take(changed, tmp_path, name=name)
    same_cells(store, cells)
    assert any("collected on disk first" in line for line in said) == (form == "csc")


def test_anndata_opens_the_cells_without_us(tiny_store_path: Path) -> None:
    found = stored(tiny_store_path)
    backed = sparse_dataset(zarr.open_group(tiny_store_path / "cells.zarr", mode="r")["X"])
    assert (backed[3:9] != found.X[3:9]).nnz == 0


def test_a_unit_is_one_run_of_rows_and_units_are_sorted(tiny_store_path: Path) -> None:
    with Store.open(tiny_store_path) as store:
        names = [(unit.context, unit.condition) for unit in store.units]
        assert names == sorted(names)
        for unit in store.units:
            obs = store.obs(unit.start, unit.stop)
            assert set(obs["context"]) == {unit.context}
            assert obs["condition"].nunique() == 1
        assert store.units[-1].stop == store.manifest.cells


def test_cells_are_shuffled_within_a_unit(tiny_store_path: Path) -> None:
    with Store.open(tiny_store_path) as store:
        unit = store.controls["line1"]
        numbers = store.obs(unit.start, unit.stop).index.str.removeprefix("cell").astype(int)
        assert list(numbers) != sorted(numbers)


def test_other_spellings_are_one_condition_with_the_most_frequent_label(tmp_path: Path) -> None:
    store, _ = take(adata(["ctrl", "B+A", "A+B", "B+A", "A+ctrl", "A"]), tmp_path)
    with Store.open(store) as opened:
        assert opened.conditions == {"A": ("A",), "A+B": ("A", "B")}
        assert opened.labels["A+B"] == "B+A"


def test_obs_survives_with_its_types(tmp_path: Path) -> None:
    n = 6
    cells = adata(
        number=np.arange(n),
        single=np.linspace(0, 1, n, dtype=np.float32),
        flag=np.arange(n) % 2 == 0,
        text=[f"t{k}é" for k in range(n)],
        kind=pd.Categorical(["x", "y", None, "x", "y", "y"], categories=["y", "x", "unused"]),
        ordered=pd.Categorical([1, 2, 1, 2, 1, 2], ordered=True),
        maybe=pd.array([1, None, 3, 4, None, 6], dtype="Int64"),
        yes=pd.array([True, None, False, True, None, True], dtype="boolean"),
    )
    store, _ = take(cells, tmp_path)
    expected = anndata.read_h5ad(tmp_path / "cells.h5ad").obs
    found = stored(store).obs
    pd.testing.assert_frame_equal(found.drop(columns="library_size"), expected.loc[found.index])
    with Store.open(store) as opened:
        pd.testing.assert_frame_equal(opened.obs(0, n), found)


def test_a_source_column_with_our_name_gets_another(tmp_path: Path) -> None:
    store, _ = take(adata(library_size=np.arange(6.0)), tmp_path)
    found = stored(store).obs
    np.testing.assert_array_equal(
        found["library_size_of_source"], [int(n[1:]) for n in found.index]
    )


def test_a_source_may_have_every_name_of_ours(tmp_path: Path) -> None:
    numbers = np.arange(6.0)
    cells = adata(library_size=numbers, library_size_of_source=numbers + 10, _row_sum=numbers + 20)
    found = stored(take(cells, tmp_path)[0]).obs
    assert list(found.columns[1:]) == [
        "library_size_of_source_of_source",
        "library_size_of_source",
        "_row_sum",
        "library_size",
    ]
    order = np.array([int(name[1:]) for name in found.index])
    np.testing.assert_array_equal(found.iloc[:, 1:4], order[:, None] + [0.0, 10, 20])


def test_a_store_of_a_stores_cells_keeps_their_library_sizes(tmp_path: Path) -> None:
    counts = np.arange(60).reshape(6, 10) % 7
    cells = adata(genes=list("ABCDEFGHIJ"), counts=counts)
    store, _ = take(cells, tmp_path, genes=2)
    again, third = tmp_path / "again", tmp_path / "third"
    assert ingest(store, again).genes < 10
    ingest(again, third)
    for place in (store, again, third):
        sizes = stored(place).obs["library_size"]
        expected = counts.sum(axis=1)[[int(name[1:]) for name in sizes.index]]
        np.testing.assert_array_equal(sizes, expected)


def test_counts_take_sixteen_bits_unless_one_needs_more(tmp_path: Path) -> None:
    cells = adata()
    store, _ = take(cells, tmp_path)
    assert stored(store).X.dtype == np.uint16
    cells.X[0, 1] = 70_000
    (tmp_path / "wide").mkdir()
    wide, _ = take(cells, tmp_path / "wide")
    assert stored(wide).X.dtype == np.uint32
    same_cells(wide, cells)


def test_stored_zeros_duplicates_and_disorder_are_cleaned(tmp_path: Path) -> None:
    matrix = sp.csr_matrix(
        (np.array([1, 0, 2, 3, 4], dtype=np.float32), [2, 1, 0, 0, 1], [0, 3, 4, 5]), shape=(3, 3)
    )
    store, _ = take(adata(["ctrl", "A", "B"], counts=matrix), tmp_path)
    found = stored(store).X
    assert found.has_canonical_format
    assert found.nnz == 4


def test_mixed_index_types_become_one(tmp_path: Path) -> None:
    path = written(adata(), tmp_path)
    with h5py.File(path, "r+") as file:
        pointers = file["X/indptr"][:].astype(np.int64)
        del file["X/indptr"]
        file["X/indptr"] = pointers
    ingest(path, tmp_path / "store")
    matrix = zarr.open_group(tmp_path / "store" / "cells.zarr", mode="r")["X"]
    assert matrix["indptr"].dtype == matrix["indices"].dtype == np.int32


def test_library_size_is_a_usual_column_that_is_never_below_the_row_sums(tmp_path: Path) -> None:
    sums = np.asarray(adata().X.sum(axis=1)).ravel()
    store, said = take(adata(n_counts=sums - 1, total_counts=sums + 5), tmp_path)
    assert any("not 'n_counts'" in line for line in said)
    assert any("library size: obs column 'total_counts'" in line for line in said)
    obs = stored(store).obs
    np.testing.assert_array_equal(obs["library_size"], obs["total_counts"])


def test_without_such_a_column_row_sums_are_taken_and_said(tmp_path: Path) -> None:
    store, said = take(adata(), tmp_path)
    found = stored(store)
    np.testing.assert_array_equal(
        found.obs["library_size"], np.asarray(found.X.sum(axis=1)).ravel()
    )
    assert any(line.startswith("library size: row sums") for line in said)


def test_counts_are_found_in_the_layer_when_x_holds_logs(tmp_path: Path) -> None:
    cells = adata()
    cells.layers["counts"] = cells.X.copy()
    cells.X = cells.X.log1p()
    store, said = take(cells, tmp_path)
    assert (cells[stored(store).obs_names].layers["counts"] != stored(store).X).nnz == 0
    assert any("layers['counts']" in line for line in said)


def test_log_values_alone_are_kept_as_they_are_and_said(tmp_path: Path) -> None:
    cells = logged(adata())
    store, said = take(cells, tmp_path)
    same_cells(store, cells)
    assert any("log1p values of 10,000 a cell" in line for line in said)
    with Store.open(store) as opened:
        assert opened.manifest.normalised
        np.testing.assert_array_equal(opened.expression(0, 6), stored(store).X.toarray())


def test_rare_genes_can_go_but_perturbed_ones_stay(tmp_path: Path) -> None:
    counts = np.zeros((4, 4), dtype=np.float32)
    counts[:, 1], counts[0, 2], counts[0, 3] = 1, 1, 1
    cells = adata(["ctrl", "ctrl", "A", "A"], genes=["A", "common", "rare", "C"], counts=counts)
    store, _ = take(cells, tmp_path, min_cells=2)
    assert list(stored(store).var_names) == ["A", "common"]
    np.testing.assert_array_equal(sorted(stored(store).obs["library_size"]), [1, 1, 1, 3])


def test_the_most_variable_genes_are_scanpys(tiny_adata: anndata.AnnData, tmp_path: Path) -> None:
    store, _ = take(tiny_adata, tmp_path, context_column="context", genes=20)
    cells = tiny_adata.copy()
    scale = 10_000 / cells.obs["ncounts"].to_numpy()
    cells.X = (sp.diags(scale) @ cells.X).log1p().tocsr()
    scanpy.pp.highly_variable_genes(cells, n_top_genes=20)
    perturbed = {t for name in cells.obs["condition"].unique() for t in name.split("+")}
    expected = set(cells.var_names[cells.var["highly_variable"]]) | perturbed - {"control"}
    assert set(stored(store).var_names) == expected


def test_conditions_can_be_left_out(tmp_path: Path) -> None:
    store, said = take(adata(), tmp_path, exclude=("B",))
    assert set(stored(store).obs["condition"]) == {"ctrl", "A", "A+B"}
    assert any("left out: 1 cell" in line for line in said)


@pytest.mark.parametrize("blank", [None, "", " ", "nan"])
def test_cells_without_a_label_are_left_out_only_when_asked(
    tmp_path: Path, blank: str | None
) -> None:
    cells = adata(pd.Categorical(["ctrl", "A", blank, "A"]))
    with pytest.raises(ValueError, match=r"1 of 4 cells without one.*--drop-unlabelled"):
        take(cells, tmp_path)
    store, _ = take(cells, tmp_path, drop_unlabelled=True)
    assert stored(store).n_obs == 3


def test_small_conditions_can_be_left_out(tmp_path: Path) -> None:
    store, _ = take(adata(), tmp_path, min_condition_cells=2)
    assert set(stored(store).obs["condition"]) == {"ctrl", "A"}


def test_the_condition_column_is_the_one_that_holds_a_control(tmp_path: Path) -> None:
    cells = adata(treatment=["vehicle (DMSO)"] * 2 + ["pill"] * 4, drug=list("aabbcc"))
    _, said = take(cells, tmp_path)
    assert "conditions: obs column 'condition'" in said


def test_two_columns_that_agree_are_no_ambiguity(tmp_path: Path) -> None:
    labels = ["ctrl", "ctrl", "A", "A", "A+B", "B"]
    _, said = take(
        adata(labels, perturbation=["control", "control", "A", "A", "B+A", "B"]), tmp_path
    )
    assert "conditions: obs column 'condition'" in said


def test_the_same_file_twice_is_said_to_be_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, _ = take(adata(), tmp_path)
    before = (store / "manifest.json").stat().st_mtime_ns
    caplog.set_level(logging.INFO)
    ingest(tmp_path / "cells.h5ad", store)
    assert caplog.messages == [f"{store} already holds these cells"]
    assert (store / "manifest.json").stat().st_mtime_ns == before


def test_memory_changes_nothing_in_the_store(
    tiny_h5ad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "BUCKET_BYTES", 20_000)
    options = IngestOptions(context_column="context")
    plenty = ingest(tiny_h5ad, tmp_path / "plenty", options=options)
    monkeypatch.setattr("data_store.ingest.route._SHARE_HELD", 1e-5)
    monkeypatch.setattr("data_store.ingest.route._LARGEST_BLOCK", 700)
    little = ingest(tiny_h5ad, tmp_path / "little", options=options)
    assert little.fingerprint == plenty.fingerprint


@pytest.mark.parametrize("workers", [2, 5])
def test_workers_change_no_byte_of_the_store(
    tiny_h5ad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(spill, "BUCKET_BYTES", 20_000)
    monkeypatch.setattr("data_store.ingest.route._LARGEST_BLOCK", 700)
    alone = ingest(
        tiny_h5ad, tmp_path / "alone", options=IngestOptions(context_column="context", min_cells=2)
    )
    together = ingest(
        tiny_h5ad,
        tmp_path / "together",
        options=IngestOptions(context_column="context", min_cells=2, workers=workers),
    )
    assert together.fingerprint == alone.fingerprint


def test_there_are_no_more_workers_than_the_memory_has_room_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    assert affordable(2, memory=1_000_000_000) == 2
    assert caplog.messages == []
    assert affordable(9, memory=1_000_000_000) == 5
    assert caplog.messages == ["workers: 5 of 9, more would not fit into --memory"]
    assert affordable(9, memory=100_000_000) == 1


def test_an_error_of_any_worker_is_the_error_of_the_ingest(tmp_path: Path) -> None:
    cells = adata()
    cells.X[4, 1] = 0.5
    for workers in (1, 3):
        with pytest.raises(ValueError, match=r"such as 0\.5"):
            take(cells, tmp_path, layer="X", workers=workers)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]


def test_several_sources_become_one_store(tmp_path: Path) -> None:
    first = adata(["ctrl", "A"], genes=["A", "B", "C"])
    second = adata(["ctrl", "B"], genes=["D", "C", "A"])
    second.obs_names = ["d0", "d1"]
    paths = [written(first, tmp_path, "1.h5ad"), written(second, tmp_path, "2.h5ad")]
    with pytest.raises(ValueError, match="--join intersect or --join union"):
        ingest(paths, tmp_path / "store")
    for join, genes in (("intersect", ["A", "C"]), ("union", ["A", "B", "C", "D"])):
        store = tmp_path / join
        ingest(paths, store, options=IngestOptions(join=join))
        found = stored(store)
        assert list(found.var_names) == genes
        for cells in (first, second):
            common = [gene for gene in genes if gene in cells.var_names]
            expected = cells[:, common].X.toarray()
            np.testing.assert_array_equal(found[cells.obs_names, common].X.toarray(), expected)
        # The library is all that was counted, also genes that the other source lacks.
        np.testing.assert_array_equal(
            found.obs.loc[first.obs_names, "library_size"], np.asarray(first.X.sum(axis=1)).ravel()
        )


def test_perturbed_genes_that_an_intersection_drops_are_named(tmp_path: Path) -> None:
    second = adata(genes=["A", "D", "C"])
    second.obs_names = [f"d{number}" for number in range(6)]
    paths = [written(adata(), tmp_path, "1.h5ad"), written(second, tmp_path, "2.h5ad")]
    said: list[str] = []
    for join in ("union", "intersect"):
        options = IngestOptions.model_validate({"join": join})
        said += ingest(paths, tmp_path / join, options=options).detections
    warnings = [line for line in said if "perturbed genes, because" in line]
    assert len(warnings) == 1  # of the intersection
    assert "left out 1 perturbed genes, because not all sources have them: B;" in warnings[0]


def test_texts_of_one_source_and_categories_of_another_become_texts(tmp_path: Path) -> None:
    # anndata writes texts that repeat as categories, and others as texts.
    repeating, other = adata(["ctrl", "A", "A"]), adata(["ctrl", "B", "B+A"])
    other.obs_names = ["d0", "d1", "d2"]
    paths = [written(repeating, tmp_path, "1.h5ad"), written(other, tmp_path, "2.h5ad")]
    kinds = [h5py.File(path)["obs/condition"].attrs["encoding-type"] for path in paths]
    assert kinds == ["categorical", "string-array"]
    ingest(paths, tmp_path / "store")
    expected = pd.concat([repeating.obs["condition"].astype(str), other.obs["condition"]])
    found = stored(tmp_path / "store").obs["condition"]
    assert dict(found.astype(str)) == dict(expected.astype(str))


def test_real_norman_cells_come_back(real_data: Path, tmp_path: Path) -> None:
    told = IngestOptions(perturbation="gene")
    said = ingest(real_data / "norman_subset.h5ad", tmp_path / "store", options=told).detections
    cells = anndata.read_h5ad(real_data / "norman_subset.h5ad")
    found = stored(tmp_path / "store")
    assert (cells[found.obs_names].layers["counts"] != found.X).nnz == 0
    assert "library size: obs column 'ncounts'" in said
    [counts] = [line for line in said if line.startswith("counts: ")]
    assert counts.startswith("counts: layers['counts']; X holds log1p values of 10,064 a cell")


def test_real_papalexi_replicates_are_contexts(real_data: Path, tmp_path: Path) -> None:
    options = IngestOptions(context_column="bio_rep", perturbation="gene")
    manifest = ingest(real_data / "papalexi.h5ad", tmp_path / "store", options=options)
    assert manifest.contexts == ("rep_1", "rep_2", "rep_3")
    with Store.open(tmp_path / "store") as store:
        assert sum(map(len, store.controls.values())) == 2386
        assert len(store.conditions) == 25


def test_real_drugs_and_targets_need_no_word(real_data: Path, tmp_path: Path) -> None:
    """9 of the 25 targets of Papalexi's screen are among the genes of its file."""
    for name, context, kind in (
        ("glioblastoma_panobinostat", "patient_id", "drug"),
        ("papalexi", "bio_rep", "gene"),
    ):
        look = look_at([real_data / f"{name}.h5ad"], options=IngestOptions(context_column=context))
        assert look.perturbation == kind
