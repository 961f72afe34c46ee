"""New files are read as a store's were: its genes, its recipe, its gene column, its chunks."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from data_store.ingest.write import IngestOptions, ingest
from data_store.simulate import SimulateOptions, simulate
from data_store.store.integrity import verify
from data_store.store.reader import Store
from data_store.store.schema import Manifest
from tests.data_store.cells import adata, written

LABELS = ("ctrl", "A", "A", "B", "ctrl", "A+B")
GENES = ("A", "B", "C", "D")
COUNTS = np.arange(24).reshape(6, 4) + 1
COUNTS[0, 3] = 0


def file(folder: Path, name: str, *, genes: tuple[str, ...] = GENES, first: int = 0) -> Path:
    cells = adata(LABELS, genes=genes, counts=COUNTS[:, : len(genes)])
    cells.obs_names = [f"{name}{k}" for k in range(first, first + 6)]
    return written(cells, folder, f"{name}.h5ad")


def grow(source: Path, store: Path, **options: object) -> Manifest:
    return ingest(source, store, options=IngestOptions.model_validate({"append": True, **options}))


FILTERED = [{"gene_list": ("A", "B", "D")}, {"genes": 1}, {"min_cells": 6}]


@pytest.mark.parametrize("options", FILTERED, ids=["list", "number", "cells"])
def test_a_store_that_left_out_genes_takes_its_own_from_a_new_file(
    tmp_path: Path, options: dict[str, object]
) -> None:
    store = tmp_path / "store"
    told = IngestOptions.model_validate(options)
    before = ingest(file(tmp_path, "a"), store, options=told)
    assert before.genes < len(GENES)
    with Store.open(store) as opened:
        genes = opened.genes
    after = grow(file(tmp_path, "b"), store)
    with Store.open(store) as opened:
        assert opened.genes == genes
        sizes = opened.library_sizes(0, after.cells)
        assert sorted(sizes) == sorted(2 * COUNTS.sum(axis=1).tolist())
    assert grow(file(tmp_path, "c"), store).genes == before.genes  # and goes on so
    assert verify(store) == []


@pytest.mark.parametrize("options", FILTERED, ids=["list", "number", "cells"])
def test_a_union_would_invent_zeros(tmp_path: Path, options: dict[str, object]) -> None:
    store = tmp_path / "store"
    before = ingest(file(tmp_path, "a"), store, options=IngestOptions.model_validate(options))
    other = file(tmp_path, "b")
    with pytest.raises(ValueError, match="--join union would write 0") as caught:
        grow(other, store, join="union")
    assert "\n" not in str(caught.value)
    with Store.open(store) as opened:
        assert opened.fingerprint == before.fingerprint


def test_genes_that_an_intersection_left_out_stay_out(tmp_path: Path) -> None:
    store = tmp_path / "store"
    files = [file(tmp_path, "a"), file(tmp_path, "b", genes=("A", "B", "C"))]
    ingest(files, store, options=IngestOptions(join="intersect"))
    assert grow(file(tmp_path, "c"), store).genes == 3


def test_a_file_without_one_of_the_stores_genes_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "store"
    ingest(file(tmp_path, "a"), store, options=IngestOptions(gene_list=("C",)))
    with pytest.raises(ValueError, match=r"got all but 1 of 3, first 'C'; pass --join intersect"):
        grow(file(tmp_path, "b", genes=("A", "B", "D")), store)


def test_conditions_that_a_recipe_leaves_out_stay_out(tmp_path: Path) -> None:
    store = tmp_path / "store"
    genes = ("A", "LHX1", "ELMSAN1")
    for name in "ab":
        cells = adata(("ctrl", "A+ctrl", "LHX1+ELMSAN1", "ctrl"), genes=genes)
        cells.layers["counts"] = cells.X
        cells.obs_names = [f"{name}{k}" for k in range(4)]
        path = written(cells, tmp_path, f"{name}.h5ad")
        if name == "a":
            ingest(path, store, options=IngestOptions(recipe="norman"))
        else:
            manifest = grow(path, store, recipe="norman")
    assert manifest.cells == 6
    assert manifest.recipe.recipe == "norman"
    with Store.open(store) as opened:
        assert set(opened.conditions) == {"A"}


def test_gene_names_come_from_the_same_column(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for name in "ab":
        cells = adata(LABELS, genes=("ENSG1", "ENSG2", "ENSG3"))
        cells.var["symbol"] = ["A", "B", "C"]
        cells.obs_names = [f"{name}{k}" for k in range(6)]
        path = written(cells, tmp_path, f"{name}.h5ad")
        if name == "a":
            ingest(path, store, options=IngestOptions(gene_column="symbol"))
        else:
            grow(path, store)
    # A file whose index has the names already needs no column.
    assert grow(file(tmp_path, "c", genes=("A", "B", "C")), store).cells == 18
    with Store.open(store) as opened:
        assert opened.genes == ("A", "B", "C")
        assert opened.manifest.recipe.gene_column == "symbol"


def test_a_store_for_a_network_keeps_its_chunks(tmp_path: Path) -> None:
    paths = []
    for seed in range(2):
        cells = simulate(SimulateOptions(cells=300, genes=100, singles=3, doubles=1, seed=seed))
        cells.obs_names = [f"{seed}-{name}" for name in cells.obs_names]
        paths.append(tmp_path / f"{seed}.h5ad")
        cells.write_h5ad(paths[-1])
    chunks = {}
    for name, remote in (("near", False), ("far", True)):
        store = tmp_path / name
        ingest(paths[0], store, options=IngestOptions(remote=remote))
        grow(paths[1], store)
        chunks[name] = zarr.open_array(store / "cells.zarr" / "X" / "data").chunks[0]
    assert chunks["far"] > chunks["near"]


def test_genes_that_new_cells_perturb_and_the_store_left_out_are_named(tmp_path: Path) -> None:
    store = tmp_path / "store"
    ingest(file(tmp_path, "a"), store, options=IngestOptions(gene_list=("C",)))
    cells = adata(("ctrl", "D", "A"), genes=GENES)
    cells.obs_names = ["n1", "n2", "n3"]
    added = written(cells, tmp_path, "b.h5ad")
    said = ingest(added, store, options=IngestOptions(append=True)).detections
    (line,) = (line for line in said if line.startswith("warning"))
    assert "left out 1 perturbed genes" in line
    assert line.endswith("D; to keep them, ingest all files into a new store")
