"""Loom, h5mu, gzip and older AnnData give the cells that today's .h5ad of the same screen gives."""

import gzip
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata.io import write_elem

from data_store.ingest.write import IngestOptions, ingest
from data_store.sources.formats.format import Reading
from data_store.sources.formats.known import open_source
from data_store.store.export import export
from data_store.store.reader import Store
from tests.data_store.cells import adata, written

TEXT = h5py.string_dtype()


def loom(cells: anndata.AnnData, folder: Path) -> Path:
    """As loompy writes it: genes x cells, in chunks."""
    path = folder / "cells.loom"
    with h5py.File(path, "w") as file:
        file.create_dataset("matrix", data=cells.X.toarray().T, chunks=(2, 4), compression="gzip")
        file.create_dataset("row_attrs/Gene", data=list(cells.var_names), dtype=TEXT)
        file.create_dataset("col_attrs/CellID", data=list(cells.obs_names), dtype=TEXT)
        file.create_dataset("col_attrs/condition", data=list(cells.obs["condition"]), dtype=TEXT)
        file["col_attrs/umis"] = np.arange(cells.n_obs)
        file["col_attrs/umap"] = np.zeros((cells.n_obs, 2))
        for name in ("layers", "row_graphs", "col_graphs"):
            file.create_group(name)
        file["layers/spliced"] = 2 * cells.X.toarray().T
    return path


def h5mu(cells: anndata.AnnData, folder: Path, *, names: tuple[str, ...] = ("prot", "rna")) -> Path:
    """As mudata writes it; conditions are in the obs of the file, for more cells than rna has."""
    path = folder / "cells.h5mu"
    other = adata(genes=["p1", "p2", "p3"])
    other.obs_names = [f"x{k}" for k in range(other.n_obs)]
    obs = pd.concat([other.obs, cells.obs])
    with h5py.File(path, "w") as file:
        write_elem(file, "obs", obs.astype("category"))
        write_elem(file, "var", pd.DataFrame(index=[*other.var_names, *cells.var_names]))
        for name in names:
            own = cells.copy() if name == "rna" else other
            if name == "rna":
                own.obs = own.obs.drop(columns="condition")
                place = np.concatenate([np.zeros(other.n_obs), 1 + np.arange(cells.n_obs)])
                file[f"obsmap/{name}"] = place.astype(np.uint32)
            write_elem(file, f"mod/{name}", own)
    return path


def packed(cells: anndata.AnnData, folder: Path) -> Path:
    path = folder / "cells.h5ad.gz"
    whole = written(cells, folder)
    path.write_bytes(gzip.compress(whole.read_bytes()))
    whole.unlink()
    return path


def records(cells: anndata.AnnData, folder: Path, *, sparse: bool = True) -> Path:
    """As anndata 0.6 wrote it."""
    path = folder / "cells.h5ad"
    categories = sorted(set(cells.obs["condition"]))
    codes = [categories.index(label) for label in cells.obs["condition"]]
    obs = np.zeros(cells.n_obs, dtype=[("index", "S8"), ("condition", "i1"), ("umis", "f4")])
    obs["index"], obs["condition"], obs["umis"] = list(cells.obs_names), codes, 7
    var = np.array([(name.encode(), 3) for name in cells.var_names], [("index", "S8"), ("n", "i4")])
    with h5py.File(path, "w") as file:
        file["obs"], file["var"] = obs, var
        file["uns/condition_categories"] = np.array(categories, dtype="S8")
        if sparse:
            group = file.create_group("X")
            group.attrs["h5sparse_format"] = "csr"
            group.attrs["h5sparse_shape"] = np.array(cells.shape)
            for part in ("data", "indices", "indptr"):
                group[part] = getattr(cells.X, part)
        else:
            file["X"] = cells.X.toarray()
    return path


def dense(cells: anndata.AnnData, folder: Path) -> Path:
    return records(cells, folder, sparse=False)


def half(cells: anndata.AnnData, folder: Path) -> Path:
    with h5py.File(path := written(cells, folder), "r+") as file:
        del file["X"]
        write_elem(file, "X", cells.X.toarray().astype(np.float16))
    return path


def stored(path: Path, store: Path, **options: object) -> Store:
    ingest(path, store, options=IngestOptions.model_validate(options))
    return Store.open(store)


@pytest.mark.parametrize("form", [loom, h5mu, packed, records, dense, half])
def test_a_file_of_another_form_gives_the_same_cells(
    tmp_path: Path, form: Callable[[anndata.AnnData, Path], Path]
) -> None:
    expected = stored(written(adata(), tmp_path, "usual.h5ad"), tmp_path / "usual")
    (tmp_path / "other").mkdir()
    path = form(adata(), tmp_path / "other")
    found = stored(path, tmp_path / "other" / "store")
    assert sorted(x.name for x in path.parent.iterdir()) == sorted([path.name, "store"])
    assert found.genes == expected.genes
    assert [unit.condition for unit in found.units] == [unit.condition for unit in expected.units]
    np.testing.assert_array_equal(found.counts(0, 6).toarray(), expected.counts(0, 6).toarray())
    labels = [list(store.obs(0, 6)["condition"].astype(str)) for store in (found, expected)]
    assert labels[0] == labels[1]


def test_layers_and_attributes_of_a_loom_file_are_read(tmp_path: Path) -> None:
    source = open_source(loom(adata(), tmp_path))
    assert source.layers == ("X", "spliced")
    assert list(source.columns) == ["condition", "umis"]  # umap has two values for each cell
    twice = sp.vstack([rows for _, rows in source.blocks("spliced", elements=6)])
    np.testing.assert_array_equal(twice.toarray(), 2 * adata().X.toarray())


def test_a_modality_is_chosen_by_name(tmp_path: Path) -> None:
    path = h5mu(adata(), tmp_path)
    assert open_source(path, reading=Reading(modality="prot")).genes == ("p1", "p2", "p3")
    with pytest.raises(ValueError, match=r"modality 'rnaa' .nearest: 'rna'.*got prot, rna"):
        open_source(path, reading=Reading(modality="rnaa"))
    unclear = h5mu(adata(), tmp_path, names=("atac", "prot"))
    with pytest.raises(ValueError, match="found atac, prot; choose one with --modality"):
        open_source(unclear)
    told = stored(unclear, tmp_path / "store", modality="prot", perturbation="gene")
    assert told.genes == ("p1", "p2", "p3")


def test_common_rows_that_cannot_be_told_apart_are_named(tmp_path: Path) -> None:
    path = h5mu(adata(), tmp_path)
    with h5py.File(path, "r+") as file:
        names = file["obs"][file["obs"].attrs["_index"]]
        names[0] = names[-1]
        del file["obsmap"]
    with pytest.raises(ValueError, match=r"obs names 'c5' twice, and no obsmap says.*'rna'"):
        open_source(path)


def test_columns_with_a_slash_come_back(tmp_path: Path) -> None:
    cells = adata(**{"CD4/CD8": np.arange(6) / 10, "cell/type": pd.Categorical(list("TBTBTB"))})
    cells.var["a/b"] = 1.0
    cells.var["a/c"] = pd.Categorical(["x", "y", "x"])
    for given in (cells, written(cells, tmp_path)):
        out = tmp_path / "out.h5ad"
        ingest(given, tmp_path / "store", options=IngestOptions(overwrite=True))
        export(tmp_path / "store", out, overwrite=True)
        found = anndata.read_h5ad(out)[cells.obs_names]
        assert list(found.obs["CD4/CD8"]) == list(cells.obs["CD4/CD8"])
        assert list(found.obs["cell/type"]) == list("TBTBTB")
        assert list(found.var["a/b"]) == [1.0] * 3
        assert list(found.var["a/c"]) == ["x", "y", "x"]
    by_type = stored(tmp_path / "cells.h5ad", tmp_path / "types", context_column="cell/type")
    assert {unit.context for unit in by_type.units} == {"B", "T"}


def test_genes_of_one_name_in_a_column_are_told_apart(tmp_path: Path) -> None:
    cells = adata(genes=["E1", "E2", "E3"])
    cells.var["symbol"] = ["A", "B", "A"]
    path = written(cells, tmp_path)
    assert stored(path, tmp_path / "store", gene_column="symbol").genes == ("A", "B", "A_E3")


def test_genes_of_one_name_are_refused_and_the_column_that_is_named_works(tmp_path: Path) -> None:
    cells = adata(genes=["A", "B", "A"])
    cells.var["gene_ids"] = ["E1", "E2", "E3"]
    path = written(cells, tmp_path)
    with pytest.raises(ValueError, match=r"--gene-column .gene_ids., or call var_names"):
        ingest(path, tmp_path / "store")
    told = stored(path, tmp_path / "store", gene_column="gene_ids", perturbation="gene")
    assert told.genes == ("E1", "E2", "E3")
