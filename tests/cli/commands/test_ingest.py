"""What `scdfm ingest` reads beside one file, and how it refuses."""

import hashlib
import inspect
import json
from importlib import import_module
from pathlib import Path

import fsspec
import pytest

from cli.commands.ingest import ingest
from data_store.sources.options import IngestOptions
from tests.cli.conftest import Call, Called
from tests.data_store.cells import adata, written
from tests.data_store.formats.test_tenx import table, version3
from tests.data_store.sources.test_recipes import gears


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCDFM_CACHE", str(tmp_path / "cache"))


def facts(scdfm: Call, store: str = "store") -> dict[str, object]:
    found: dict[str, object] = json.loads(scdfm("inspect", store, "--json").out)
    return found


def refused(called: Called, *words: str) -> None:
    assert called.status == 2, called.err
    assert called.out == ""
    assert not Path("store").exists()
    for word in words:
        assert word in called.error


def test_a_10x_file_with_a_table_becomes_a_store(scdfm: Call) -> None:
    version3(Path("cells.h5"))
    table(Path())
    called = scdfm("ingest", "cells.h5", "store", "--cells", "cells.csv")
    assert called.status == 0, called.err
    assert "6 of 6 cells of cells.h5 have a row" in called.err
    assert facts(scdfm)["conditions"] == 3


def test_a_folder_becomes_a_store(scdfm: Call) -> None:
    Path("screen").mkdir()
    for name in ("a.h5ad", "b.zarr"):
        written(adata(), Path("screen"), name)
    called = scdfm("ingest", "screen", "store")
    assert called.status == 0, called.err
    assert "screen: 2 sources, a.h5ad, b.zarr" in called.err
    assert facts(scdfm)["cells"] == 12


def test_a_recipe_and_a_list_of_genes_reach_the_store(scdfm: Call) -> None:
    written(gears(), Path())
    Path("genes.txt").write_text("ISG15\n")
    called = scdfm(
        "ingest", "cells.h5ad", "store", "--recipe", "norman", "--gene-list", "genes.txt"
    )
    assert called.status == 0, called.err
    assert "1 cell of C3orf72+FOXL2 (recipe norman)" in called.err
    assert facts(scdfm)["genes"] == 3  # KLF1 and MAP2K6 are perturbed


def test_gene_names_come_from_the_column_that_is_named(scdfm: Call) -> None:
    written(gears(), Path())
    asked = ("--gene-column", "gene_name", "--layer", "counts")
    assert scdfm("ingest", "cells.h5ad", "store", *asked).status == 0
    assert facts(scdfm)["perturbed_measured"] == 4


def test_an_address_is_downloaded_and_its_hash_checked(scdfm: Call) -> None:
    path = written(adata(), Path())
    memory = fsspec.filesystem("memory")
    memory.pipe("/there/cells.h5ad", path.read_bytes())
    try:
        asked = ("ingest", "memory://there/cells.h5ad", "store", "--sha256")
        refused(scdfm(*asked, "0" * 64), "expected sha256", "correct --sha256")
        expected = hashlib.sha256(path.read_bytes()).hexdigest()
        called = scdfm(*asked, expected)
        assert called.status == 0, called.err
        assert facts(scdfm)["sources"][0]["sha256"] == expected  # type: ignore[index]
    finally:
        memory.rm("/there", recursive=True)


def test_bad_sources_are_one_line_each(scdfm: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    # fsspec remembers what another test has used.
    monkeypatch.delitem(import_module("fsspec.registry")._registry, "s3", raising=False)
    Path("empty").mkdir()
    Path("zero.h5ad").touch()
    written(adata(), Path())
    refused(scdfm("ingest", "empty", "store"), "folder empty", "found nothing")
    refused(scdfm("ingest", "zero.h5ad", "store"), "which is empty")
    refused(scdfm("ingest", "s3://bucket/cells.h5ad", "store"), "pip install s3fs")
    refused(scdfm("ingest", "cells.h5ad", "store", "--cells", "no.csv"), "no.csv", "no such file")
    refused(scdfm("ingest", "cells.h5ad", "store", "--gene-list", "no.txt"), "no.txt")
    refused(scdfm("ingest", "cells.h5ad", "store", "--recipe", "norman"), "a layer 'counts'")
    asked = ("--genes", 2, "--gene-list", "genes.txt")
    Path("genes.txt").write_text("A\n")
    refused(scdfm("ingest", "cells.h5ad", "store", *asked), "--genes or --gene-list, got both")


def test_a_store_may_be_laid_out_for_a_network(scdfm: Call) -> None:
    written(adata(), Path())
    assert scdfm("ingest", "cells.h5ad", "store").status == 0
    assert scdfm("ingest", "cells.h5ad", "far", "--remote").status == 0
    assert facts(scdfm, "far")["cells"] == facts(scdfm)["cells"]
    assert facts(scdfm, "far")["recipe"]["options"] != facts(scdfm)["recipe"]["options"]  # type: ignore[index]


@pytest.mark.parametrize("size", ["lots", "1.2.3GB", "."])
def test_memory_that_is_no_size_is_said_once(scdfm: Call, size: str) -> None:
    written(adata(), Path())
    called = scdfm("ingest", "cells.h5ad", "store", "--memory", size)
    refused(called, f"--memory: expected a size such as 2GB or 500MB, got '{size}'")
    assert called.error.count("got") == 1


def test_too_little_memory_is_said(scdfm: Call) -> None:
    written(adata(), Path())
    called = scdfm("ingest", "cells.h5ad", "store", "--memory", "5MB")
    refused(called, "--memory: expected at least 100MB, got '5MB'")


def test_memory_is_the_same_by_default_on_the_command_line_and_in_python() -> None:
    default = inspect.signature(ingest).parameters["memory"].default
    assert IngestOptions.model_validate({"memory": default}) == IngestOptions()


def test_a_hash_that_is_none_is_refused_before_anything_is_downloaded(scdfm: Call) -> None:
    asked = ("ingest", "https://no-such-host.invalid/x.h5ad", "store", "--sha256", "abc")
    refused(scdfm(*asked), "--sha256: expected a SHA-256 of 64 hexadecimal digits, got 'abc'")
