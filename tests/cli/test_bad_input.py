"""Bad input: one line that says what was expected, exit status 2, nothing left behind."""

from pathlib import Path

import anndata
import numpy as np
import pytest

from tests.cli.conftest import Call
from tests.data_store.cells import adata, written


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(scdfm: Call, *arguments: object) -> str:
    """The error line of a command that must refuse its input and leave nothing."""
    before = sorted(Path().rglob("*"))
    called = scdfm(*arguments)
    assert called.status == 2, called.err
    assert called.out == ""
    assert sorted(Path().rglob("*")) == before
    return called.error


def test_no_such_file(scdfm: Call, folder: Path, tiny_store_path: Path) -> None:
    assert "absent.h5ad" in refused(scdfm, "ingest", "absent.h5ad", "store")
    assert "absent.yaml" in refused(scdfm, "train", "absent.yaml")
    assert "absent.yaml" in refused(scdfm, "tune", "absent.yaml")
    for command in ("inspect", "verify", "split", "evaluate"):
        assert "absent" in refused(scdfm, command, "absent")
    assert "absent" in refused(scdfm, "export", "absent", "out.h5ad")
    asked = ("--store", tiny_store_path, "--conditions", "A", "--out", "p.h5ad")
    assert "absent" in refused(scdfm, "predict", "absent", *asked)


def test_not_an_h5ad(scdfm: Call, folder: Path) -> None:
    Path("text.h5ad").write_text("no cells")
    assert "table of cells is given with --cells" in refused(scdfm, "ingest", "text.h5ad", "store")


def test_an_unknown_condition_column_is_answered_with_the_columns(
    scdfm: Call, folder: Path
) -> None:
    written(adata(batch=list("abcdef")), folder)
    error = refused(scdfm, "ingest", "cells.h5ad", "store", "--condition", "gone")
    assert "condition, batch" in error


def test_without_control_cells_the_labels_are_named(scdfm: Call, folder: Path) -> None:
    written(adata(["mock", "A", "B"]), folder)
    error = refused(scdfm, "ingest", "cells.h5ad", "store")
    assert "A, B, mock" in error
    assert "--control" in error


@pytest.mark.parametrize(
    ("value", "word"), [(-1.0, "such as -1"), (np.nan, "NaN"), (0.5, "counts")], ids=str
)
def test_values_that_are_no_counts(scdfm: Call, folder: Path, value: float, word: str) -> None:
    counts = np.ones((6, 3), dtype=np.float32)
    counts[4, 1] = value
    written(adata(counts=counts), folder)
    assert word in refused(scdfm, "ingest", "cells.h5ad", "store", "--layer", "X")


def test_duplicate_gene_names(scdfm: Call, folder: Path) -> None:
    cells = adata(genes=("A", "B", "B"))
    cells.write_h5ad("cells.h5ad")
    assert "'B'" in refused(scdfm, "ingest", "cells.h5ad", "store")


def test_a_file_without_genes_is_called_so(scdfm: Call, folder: Path) -> None:
    written(adata()[:, :0].copy(), folder)
    error = refused(scdfm, "ingest", "cells.h5ad", "store")
    assert "expected genes in cells.h5ad, found none: its var is empty; ingest a file" in error
    adata().write_h5ad("whole.h5ad")
    beside = refused(scdfm, "ingest", "whole.h5ad", "cells.h5ad", "store")
    assert "genes in cells.h5ad, found none: its var is empty; leave it out" in beside


def test_gene_or_drug_must_be_said_when_no_token_is_measured(scdfm: Call, folder: Path) -> None:
    written(adata(genes=("X", "Y", "Z")), folder)
    assert "--perturbation drug" in refused(scdfm, "ingest", "cells.h5ad", "store")


def test_a_store_without_manifest(scdfm: Call, folder: Path, tiny_store_path: Path) -> None:
    import shutil

    shutil.copytree(tiny_store_path, "store")
    Path("store/manifest.json").unlink()
    for command in ("inspect", "verify", "split"):
        assert "manifest.json" in refused(scdfm, command, "store")


def test_a_split_with_an_empty_part_names_one_that_works(scdfm: Call, folder: Path) -> None:
    cells = adata(["ctrl", "A", "B", "C"], genes=("A", "B", "C"))
    cells.write_h5ad("cells.h5ad")
    scdfm("ingest", "cells.h5ad", "store")
    error = refused(scdfm, "split", "store", "--kind", "additive", "--out", "split.json")
    assert "holdout" in error


def test_an_option_of_another_split(scdfm: Call, folder: Path, tiny_store_path: Path) -> None:
    error = refused(scdfm, "split", tiny_store_path, "--kind", "additive", "--genes", "3")
    assert "holdout" in error


def test_a_result_that_exists_is_kept(scdfm: Call, folder: Path, tiny_store_path: Path) -> None:
    Path("out.h5ad").write_text("mine")
    assert "--overwrite" in refused(scdfm, "simulate", "out.h5ad")
    assert "--overwrite" in refused(scdfm, "export", tiny_store_path, "out.h5ad")
    assert Path("out.h5ad").read_text() == "mine"


def test_a_result_that_has_nowhere_to_go(scdfm: Call, folder: Path, tiny_store_path: Path) -> None:
    assert "no/such" in refused(scdfm, "simulate", "no/such/out.h5ad")
    assert "no/such" in refused(scdfm, "split", tiny_store_path, "--out", "no/such/split.json")
    assert "no/such" in refused(scdfm, "evaluate", "run", "--out", "no/such/table.csv")


def test_a_setting_that_does_not_exist_names_the_nearest(scdfm: Call, folder: Path) -> None:
    Path("run.yaml").write_text("store: s\nname: r\nsplit: {kind: additive}\n")
    assert "'model.width'" in refused(scdfm, "train", "run.yaml", "--set", "model.widht=3")
    assert "model.width" in refused(scdfm, "train", "run.yaml", "--set", "model.width=-1")
    assert "NAME=VALUE" in refused(scdfm, "train", "run.yaml", "--set", "model.width")


def test_a_mistyped_command_or_option_names_the_nearest(scdfm: Call, folder: Path) -> None:
    assert "'ingest'" in refused(scdfm, "ingst")
    assert "--control" in refused(scdfm, "ingest", "--contrl", "x")
    assert "STORE" in refused(scdfm, "verify")
    assert "--cells" in refused(scdfm, "simulate", "o.h5ad", "--cells", "many")


def test_a_simulation_that_cannot_be(scdfm: Call, folder: Path) -> None:
    assert "doubles" in refused(scdfm, "simulate", "o.h5ad", "--singles", "2", "--doubles", "9")
    assert ".h5ad" in refused(scdfm, "simulate", "out.zarr")


def test_memory_that_is_no_size(scdfm: Call, folder: Path) -> None:
    assert "--memory" in refused(scdfm, "ingest", "a.h5ad", "store", "--memory", "much")


def test_debug_shows_where_an_error_comes_from(
    scdfm: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = scdfm("--debug", "inspect", "absent")
    assert called.status == 2
    assert "Traceback" in called.err
    monkeypatch.setenv("SCDFM_DEBUG", "1")
    assert "Traceback" in scdfm("inspect", "absent").err


def test_cells_are_not_changed_by_a_refusal(
    scdfm: Call, folder: Path, tiny_h5ad: Path, tiny_adata: anndata.AnnData
) -> None:
    before = tiny_h5ad.read_bytes()
    refused(scdfm, "ingest", tiny_h5ad, "store", "--control", "nothing")
    assert tiny_h5ad.read_bytes() == before


RUN = "store: {store}\nname: r\nsplit: {{kind: {split}}}\n"
SWEEP = (
    "name: w\nbase: {{store: {store}, preset: tiny}}\nsplits: [{{kind: additive}}]\n"
    "space: {{model.width: {{type: choice, values: [8, 16]}}}}\n"
)


def test_what_a_file_names_and_is_not_there(
    scdfm: Call, folder: Path, tiny_store_path: Path
) -> None:
    Path("run.yaml").write_text(RUN.format(store="gone.zarr", split="additive"))
    assert "--set store=PATH" in refused(scdfm, "train", "run.yaml")
    Path("sweep.yaml").write_text(SWEEP.format(store="gone.zarr"))
    assert "--set base.store=PATH" in refused(scdfm, "tune", "sweep.yaml")
    lists = RUN.format(store=tiny_store_path, split="file, path: gone.json")
    Path("run.yaml").write_text(lists)
    assert "no such split.path: gone.json" in refused(scdfm, "train", "run.yaml")
    Path("run.yaml").write_text(RUN.format(store=tiny_store_path, split="additive"))
    for setting in ("init_from=gone", "graph={kind: edges, path: gone.csv}"):
        assert "gone" in refused(scdfm, "train", "run.yaml", "--set", setting)
    Path("c.pt").touch()
    asked = ("import-release", "c.pt", "m", "--store", tiny_store_path)
    for option in ("--mask", "--vocabulary", "--split"):
        assert f"no such {option[2:]}: gone" in refused(scdfm, *asked, option, "gone")
    asked = ("export", tiny_store_path, "o.h5ad", "--normalised", "--genes-of", "gone")
    assert "gone" in refused(scdfm, *asked)
    asked = ("split", tiny_store_path, "--kind", "file", "--path", "gone.json")
    assert "gone.json" in refused(scdfm, *asked)


def test_a_dotted_setting_reaches_into_the_space_of_a_sweep(scdfm: Call, folder: Path) -> None:
    shown = scdfm("config", "show", "demo", "--set", "space.graph.k.high=15").out
    assert "high: 15.0" in shown
    absent = ("config", "show", "demo", "--set", "space.batch.cells.low=5")
    assert "--set 'space.batch.cells={type: int" in refused(scdfm, *absent)
    plain = refused(scdfm, "config", "show", "demo", "--set", "base.model=3")
    assert "model must hold settings as `name: value`, got 3" in plain
