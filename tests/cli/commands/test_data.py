"""Commands about cells, from a simulated screen to a split."""

import json
import shutil
from pathlib import Path

import anndata
import fsspec
import numpy as np
import pytest

from scdfm.splits import Split
from tests.cli.conftest import Call
from tests.data_store.cells import adata, logged, written


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_simulated_screen_has_the_sizes_asked_for(scdfm: Call) -> None:
    sizes = ("--cells", 300, "--genes", 40, "--singles", 4, "--doubles", 3, "--contexts", 2)
    called = scdfm("simulate", "screen.h5ad", *sizes, "--seed", 3)
    assert called.status == 0
    screen = anndata.read_h5ad("screen.h5ad")
    assert screen.shape == (300, 40)
    assert screen.obs["condition"].nunique() == 8
    assert screen.obs["context"].nunique() == 2
    scdfm("simulate", "again.h5ad", *sizes, "--seed", 4)
    assert (anndata.read_h5ad("again.h5ad").X != screen.X).nnz > 0


def test_every_detection_of_an_ingest_is_said_and_none_is_a_result(
    scdfm: Call, tiny_h5ad: Path
) -> None:
    called = scdfm("ingest", tiny_h5ad, "store", "--context", "context")
    assert called.status == 0
    assert "library size: obs column 'ncounts'" in called.err
    assert called.out.startswith("store: 600 cells x 60 genes")
    assert "already" in scdfm("ingest", tiny_h5ad, "store", "--context", "context").err


def test_ingest_hands_every_option_on(scdfm: Call) -> None:
    cells = adata(
        ["none", "X1;X2", "X1", "X2", "X3", "none", None],
        column="what",
        where=list("abaaaba"),
        total=[1e4] * 7,
        spoiled=[1.0] * 7,
    )
    cells.layers["raw"] = cells.X.copy()
    cells.X = cells.X * 0.5
    written(cells, Path())
    called = scdfm(
        "ingest", "cells.h5ad", "store", "--condition-column", "what", "--control", "none",
        "--separator", ";", "--context-column", "where", "--layer", "raw",
        "--library-size-column", "total", "--perturbation", "drug", "--min-cells", 1,
        "--min-condition-cells", 1, "--exclude", "X3", "--drop-unlabelled", "--seed", 5,
        "--memory", "200MB", "--join", "union",
    )  # fmt: skip
    assert called.status == 0, called.err
    facts = json.loads(scdfm("inspect", "store", "--json").out)
    assert facts["perturbation"] == "drug"
    assert {unit["condition"] for unit in facts["units"]} == {"control", "X1", "X2", "X1+X2"}
    recipe = facts["recipe"]
    assert (recipe["layer"], recipe["library_size_column"], recipe["seed"]) == ("raw", "total", 5)


def test_log_values_are_taken_when_asked(scdfm: Call) -> None:
    written(logged(adata()), Path())
    assert scdfm("ingest", "cells.h5ad", "store", "--normalised").status == 0
    assert "log1p per 10k, as given" in scdfm("inspect", "store").out


def test_what_was_done_to_values_is_shown(scdfm: Call) -> None:
    written(logged(adata(), depth=1e6), Path())
    assert scdfm("ingest", "cells.h5ad", "store", "--normalised").status == 0
    assert "per 10k, from 1,000,000 a cell in cells.h5ad" in scdfm("inspect", "store").out
    cells = adata()
    cells.X = cells.X * 0.9
    written(cells, Path())
    assert scdfm("ingest", "cells.h5ad", "counts").status == 2
    assert scdfm("ingest", "cells.h5ad", "counts", "--round").status == 0
    assert "counts, rounded from corrected counts" in scdfm("inspect", "counts").out


def test_several_sources_make_one_store(scdfm: Call) -> None:
    for name in ("a.h5ad", "b.h5ad"):
        cells = adata()
        cells.obs_names = [f"{name}{k}" for k in range(cells.n_obs)]
        written(cells, Path(), name)
    assert scdfm("ingest", "a.h5ad", "b.h5ad", "store").status == 0
    assert json.loads(scdfm("inspect", "store", "--json").out)["cells"] == 12


def test_inspect_shows_what_a_store_holds(scdfm: Call, tiny_store_path: Path) -> None:
    text = scdfm("inspect", tiny_store_path).out
    facts = json.loads(scdfm("inspect", tiny_store_path, "--json").out)
    for word in ("600", "11 (6 singles, 5 doubles)", "line1", "line2"):
        assert word in text
    told = next(line.split() for line in text.splitlines() if "fingerprint" in line)
    assert told == ["fingerprint", facts["fingerprint"][:12]]
    assert len(facts["fingerprint"]) == 64
    assert "library size: obs column 'ncounts'" in text
    smallest = facts["smallest"][0]
    assert f"{smallest['condition']} in {smallest['context']} {smallest['cells']}" in text


def test_a_whole_store_verifies(scdfm: Call, tiny_store_path: Path) -> None:
    assert scdfm("verify", tiny_store_path).status == 0
    assert json.loads(scdfm("verify", tiny_store_path, "--json").out)["faults"] == []


def test_the_address_of_a_verified_store_stays_an_address(
    scdfm: Call, tiny_store_path: Path
) -> None:
    system = fsspec.filesystem("memory")
    system.put(str(tiny_store_path), "/verified", recursive=True)
    called = scdfm("verify", "memory://verified")
    system.rm("/verified", recursive=True)
    assert called.out.startswith("memory://verified: nothing has changed")
    assert scdfm("verify", "memory://verified").error.count("memory://verified") == 1


def test_a_flipped_bit_is_found_and_its_file_named(scdfm: Call, tiny_store_path: Path) -> None:
    shutil.copytree(tiny_store_path, "store")
    shard = max(Path("store/cells.zarr/X/data/c").iterdir(), key=lambda file: file.stat().st_size)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(bytes(content))
    called = scdfm("verify", "store")
    assert called.status == 1
    assert shard.relative_to("store").as_posix() in called.error
    called = scdfm("verify", "store", "--json")
    assert called.status == 1
    assert len(json.loads(called.out)["faults"]) == 1


def test_a_split_is_printed_and_written(scdfm: Call, tiny_store_path: Path) -> None:
    called = scdfm(
        "split", tiny_store_path, "--kind", "additive", "--fraction", 0.4, "--out", "split.json"
    )
    assert called.status == 0
    assert "test        2 conditions (2 double_0_unseen)" in called.out
    saved = Split.load(Path("split.json"))
    printed = scdfm("split", tiny_store_path, "--fraction", 0.4, "--json").out
    assert Split.model_validate_json(printed) == saved
    again = scdfm("split", tiny_store_path, "--kind", "file", "--path", "split.json", "--json")
    assert Split.model_validate_json(again.out) == saved


def test_another_split_is_replaced_only_if_asked(scdfm: Call, tiny_store_path: Path) -> None:
    made = ("split", tiny_store_path, "--out", "split.json", "--fraction")
    scdfm(*made, 0.4)
    before = Path("split.json").read_bytes()
    assert "split.json holds this split already" in scdfm(*made, 0.4).err
    called = scdfm(*made, 0.6)
    assert called.status == 2
    assert "split.json exists already" in called.error
    assert called.out == ""
    assert Path("split.json").read_bytes() == before
    assert scdfm(*made, 0.6, "--overwrite").status == 0
    assert Split.load(Path("split.json")) != Split.model_validate_json(before)


def test_test_conditions_may_be_listed_in_any_order(scdfm: Call, tiny_store_path: Path) -> None:
    facts = json.loads(scdfm("inspect", tiny_store_path, "--json").out)
    doubles = sorted({u["condition"] for u in facts["units"] if "+" in u["condition"]})
    swapped = ["+".join(reversed(name.split("+"))) for name in doubles[:3]]
    called = scdfm(
        "split", tiny_store_path, "--kind", "list", "--test", ",".join(swapped[:2]),
        "--test", swapped[2], "--validation", doubles[3], "--json",
    )  # fmt: skip
    split = Split.model_validate_json(called.out)
    assert split.test == tuple(doubles[:3])
    assert split.validation == (doubles[3],)


def test_folds_seeds_genes_and_contexts_reach_the_split(scdfm: Call, tiny_store_path: Path) -> None:
    def made(*options: object) -> Split:
        return Split.model_validate_json(scdfm("split", tiny_store_path, "--json", *options).out)

    folds = {made("--fraction", 0.4, "--fold", fold).test for fold in range(5)}
    assert len(folds) > 1
    assert made("--fraction", 0.4, "--seed", 43) != made("--fraction", 0.4)
    assert made("--kind", "context", "--context", "line2").context == "line2"
    assert len({made("--kind", "holdout", "--genes", 1, "--fold", f).test for f in range(4)}) > 1


def test_exported_cells_are_those_of_the_source(
    scdfm: Call, tiny_store_path: Path, tiny_adata: anndata.AnnData
) -> None:
    assert scdfm("export", tiny_store_path, "all.h5ad").status == 0
    every = anndata.read_h5ad("all.h5ad")[tiny_adata.obs_names]
    np.testing.assert_array_equal(every.X.toarray(), tiny_adata.X.toarray())
    scdfm("export", tiny_store_path, "some.h5ad", "--conditions", "control")
    assert set(anndata.read_h5ad("some.h5ad").obs["condition"]) == {"control"}
    called = scdfm("export", tiny_store_path, "none.h5ad", "--conditions", "nothing")
    assert called.status == 2
    assert not Path("none.h5ad").exists()
