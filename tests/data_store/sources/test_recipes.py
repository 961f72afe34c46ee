"""Recipes read files laid out as the published ones, and say what they do."""

from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata.io import read_zarr

from data_store.ingest.write import IngestOptions, ingest
from data_store.sources.recipes.norman import EXTRA as NORMAN_EXTRA
from data_store.sources.recipes.registry import RECIPES
from data_store.store.reader import Store
from tests.data_store.cells import written

SYMBOLS = ("KLF1", "MAP2K6", "C3orf72", "FOXL2", "ISG15")
LABELS = ("ctrl", "ctrl", "KLF1+ctrl", "ctrl+KLF1", "KLF1+MAP2K6", "C3orf72+FOXL2")


def gears() -> anndata.AnnData:
    """Cells in the layout of GEARS' Norman: log X, dense counts, Ensembl ids, symbols in var."""
    counts = (np.arange(len(LABELS) * len(SYMBOLS)) % 7).reshape(len(LABELS), -1).astype("f4")
    control = [int(label == "ctrl") for label in LABELS]
    obs = pd.DataFrame(
        {
            "condition": pd.Categorical(LABELS),
            "cell_type": pd.Categorical(["A549"] * len(LABELS)),
            "dose_val": pd.Categorical(["1" if flag else "1+1" for flag in control]),
            "control": control,
            "condition_name": pd.Categorical([f"A549_{label}_1+1" for label in LABELS]),
        },
        index=[f"cell{k}-1" for k in range(len(LABELS))],
    )
    ids = pd.Index([f"ENSG{k:011d}" for k in range(len(SYMBOLS))], name="gene_id")
    var = pd.DataFrame({"gene_name": pd.Categorical(SYMBOLS)}, index=ids)
    scaled = np.log1p(counts * np.linspace(0.5, 2, len(LABELS))[:, None]).astype("f4")
    return anndata.AnnData(sp.csr_matrix(scaled), obs=obs, var=var, layers={"counts": counts})


def combosciplex() -> anndata.AnnData:
    """Cells in the layout of ComboSciPlex: drugs, the control written twice, counts in a layer."""
    labels = ["control+control", "control+Dacinostat", "Givinostat+Dasatinib", "control+control"]
    counts = sp.csr_matrix(np.arange(12, dtype="f4").reshape(4, 3))
    drugs = pd.DataFrame([label.split("+") for label in labels], columns=["Drug1", "Drug2"])
    obs = drugs.assign(condition=labels, cell_type="A549").set_index(pd.Index(list("wxyz")))
    cells = anndata.AnnData(counts.log1p(), obs=obs, var=pd.DataFrame(index=["g1", "g2", "g3"]))
    cells.layers["counts"] = counts
    return cells


def take(cells: anndata.AnnData, folder: Path, **options: object) -> tuple[Path, list[str]]:
    told = IngestOptions.model_validate(options)
    said = list(ingest(written(cells, folder), folder / "store", options=told).detections)
    return folder / "store", said


def test_norman_takes_counts_symbols_and_conditions_of_gears_file(tmp_path: Path) -> None:
    store, said = take(gears(), tmp_path, recipe="norman")
    found = read_zarr(store / "cells.zarr")
    assert list(found.var_names) == list(SYMBOLS)
    assert list(found.var["gene_id"]) == list(gears().var_names)
    expected = gears()[list(found.obs_names)].layers["counts"]
    np.testing.assert_array_equal(found.X.toarray(), expected)
    with Store.open(store) as opened:
        assert set(opened.conditions) == {"KLF1", "KLF1+MAP2K6"}
        assert opened.manifest.perturbation == "gene"
        assert opened.manifest.recipe.options
    assert said[0].startswith("recipe norman, written for GEARS' norman/perturb_processed.h5ad")


def test_norman_drops_the_extra_doubles_and_says_so(tmp_path: Path) -> None:
    _, said = take(gears(), tmp_path, recipe="norman")
    assert "left out: 1 cell of C3orf72+FOXL2 (recipe norman)" in said


def test_the_extra_doubles_are_those_that_the_release_lacks(real_data: Path) -> None:
    def doubles(names: list[str]) -> set[tuple[str, ...]]:
        tokens = (tuple(sorted(name.split("+"))) for name in names)
        return {pair for pair in tokens if len(pair) == 2 and "ctrl" not in pair}

    every = doubles(list(pd.read_csv(real_data / "norman_conditions.csv")["condition"]))
    used = doubles((real_data / "norman_doubles_125.txt").read_text().split())
    assert every - used == doubles(list(NORMAN_EXTRA))
    assert len(used) == 125


def test_norman_takes_symbols_from_the_index_where_no_column_holds_them(tmp_path: Path) -> None:
    cells = gears()
    cells.var = pd.DataFrame(index=list(SYMBOLS))
    store, _ = take(cells, tmp_path, recipe="norman")
    assert list(read_zarr(store / "cells.zarr").var_names) == list(SYMBOLS)


def test_norman_takes_merged_guides_where_these_are_the_labels(tmp_path: Path) -> None:
    cells = gears()
    cells.obs = cells.obs.rename(columns={"condition": "guide_merged"})
    cells.var = pd.DataFrame(index=list(SYMBOLS))
    cells.layers["count"] = cells.layers.pop("counts")
    store, said = take(cells, tmp_path, recipe="norman")
    with Store.open(store) as opened:
        assert set(opened.conditions) == {"KLF1", "KLF1+MAP2K6"}
    assert "--condition-column guide_merged --layer count " in said[0]


def test_norman_reads_the_real_subset(real_data: Path, tmp_path: Path) -> None:
    options = IngestOptions(recipe="norman")
    ingest(real_data / "norman_subset.h5ad", tmp_path / "store", options=options)
    with Store.open(tmp_path / "store") as store:
        assert (store.manifest.cells, len(store.conditions)) == (3375, 33)
        assert store.manifest.recipe.library_size_column == "ncounts"


def test_combosciplex_names_drugs_and_knows_its_control(tmp_path: Path) -> None:
    store, _ = take(combosciplex(), tmp_path, recipe="combosciplex")
    with Store.open(store) as opened:
        assert opened.manifest.perturbation == "drug"
        assert set(opened.conditions) == {"Dacinostat", "Dasatinib+Givinostat"}
        assert len(opened.controls["all"]) == 2
    expected = combosciplex()[list(read_zarr(store / "cells.zarr").obs_names)]
    found = read_zarr(store / "cells.zarr").X
    np.testing.assert_array_equal(found.toarray(), expected.layers["counts"].toarray())


def test_the_users_options_win(tmp_path: Path) -> None:
    cells = gears()
    cells.obs["mine"] = [str(label).replace("ctrl", "none") for label in cells.obs["condition"]]
    cells.layers["raw"] = cells.layers["counts"] + 1
    told = {"condition_column": "mine", "control": ("none",), "layer": "raw", "exclude": ("KLF1",)}
    store, said = take(cells, tmp_path, recipe="norman", **told)
    with Store.open(store) as opened:
        assert opened.manifest.recipe.condition_column == "mine"
        assert opened.manifest.recipe.layer == "raw"
        assert set(opened.conditions) == {"KLF1+MAP2K6"}
    assert "left out: 2 cells of KLF1 (excluded)" in said


@pytest.mark.parametrize("name", RECIPES)
def test_what_a_recipe_expects_and_does_not_find_is_one_line(tmp_path: Path, name: str) -> None:
    cells = gears()
    del cells.layers["counts"]
    cells.obs = cells.obs.rename(columns={"condition": "label"})
    match = f"recipe {name} expected an obs column 'condition'.*a layer 'counts'.*has X"
    with pytest.raises(ValueError, match=match) as caught:
        take(cells, tmp_path, recipe=name)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_gene_names_may_come_from_any_column(tmp_path: Path) -> None:
    store, _ = take(gears(), tmp_path, gene_column="gene_name", perturbation="gene")
    assert list(read_zarr(store / "cells.zarr").var_names) == list(SYMBOLS)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (None, r"var column 'symbol'.*got gene_name.*--gene-column"),
        (["A", "B", "C", "D", None], r"got none in 1 rows of column 'symbol'"),
    ],
    ids=["absent", "missing"],
)
def test_a_column_that_names_no_genes_is_refused(
    tmp_path: Path, values: list[str] | None, match: str
) -> None:
    cells = gears()
    if values is not None:
        cells.var["symbol"] = values
    with pytest.raises(ValueError, match=match):
        take(cells, tmp_path, gene_column="symbol")


def as_anndata_07_wrote_it(path: Path) -> None:
    """Tables in the layout of 2021: codes beside a group of categories, no marks on columns."""
    with h5py.File(path, "r+") as file:
        for table in ("obs", "var"):
            group = file[table]
            group.attrs["encoding-version"] = "0.1.0"
            for name in list(group):
                values = group[name]
                if isinstance(values, h5py.Group):  # a categorical
                    words, codes = values["categories"][:], values["codes"][:]
                    del group[name]
                    group[f"__categories/{name}"] = words
                    group[name] = codes
                    group[name].attrs["categories"] = group[f"__categories/{name}"].ref
                for mark in ("encoding-type", "encoding-version"):
                    group[name].attrs.pop(mark, None)
        for mark in ("encoding-type", "encoding-version"):
            file["layers/counts"].attrs.pop(mark, None)
            file.attrs.pop(mark, None)


@pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning")
def test_norman_reads_a_file_as_old_as_the_published_one(tmp_path: Path) -> None:
    new = written(gears(), tmp_path)
    manifest = ingest(new, tmp_path / "new", options=IngestOptions(recipe="norman"))
    (tmp_path / "old").mkdir()
    old = written(gears(), tmp_path / "old")
    as_anndata_07_wrote_it(old)
    found = ingest(old, tmp_path / "store", options=IngestOptions(recipe="norman"))
    assert (found.cells, found.units) == (manifest.cells, manifest.units)
    stores = [read_zarr(tmp_path / name / "cells.zarr") for name in ("new", "store")]
    assert (stores[0].X != stores[1].X).nnz == 0
    assert list(stores[0].obs["condition"]) == list(stores[1].obs["condition"])
    assert list(stores[0].var_names) == list(stores[1].var_names)
