"""Several columns mean something: tokens of one condition, parts of one context."""

import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from data_store.ingest.write import IngestOptions, ingest
from data_store.store.export import export, to_adata
from data_store.store.integrity import verify
from data_store.store.reader import Store
from tests.data_store.cells import adata, written
from tests.data_store.screens.said import advised, refused, said

COLUMNS = ("Drug1", "Drug2")
_GIVEN = {"condition_column", "perturbation"}
FIRST = ["control", "control", "A", "A", "B", "A", "DMSO", None, "B"]
SECOND = ["control", "", "control", None, "nan", "B", "A", "(+)-C", "A"]
FOUND = [(), (), ("A",), ("A",), ("B",), ("A", "B"), ("A",), ("(+)-C",), ("A", "B")]


def pairs(prefix: str = "c", **obs: Any) -> anndata.AnnData:
    """Cells of two drugs, as CPA and pertpy hold them."""
    cells = adata(FIRST, column="Drug1", Drug2=SECOND, **obs)
    cells.obs_names = [f"{prefix}{k}" for k in range(len(FIRST))]
    return cells


def told(**options: Any) -> IngestOptions:
    given = {"condition_column": COLUMNS, "perturbation": "drug", **options}
    return IngestOptions.model_validate(given)


def conditions(store: Store) -> dict[str, tuple[str, ...]]:
    """The condition of each cell, by its name."""
    return {
        name: unit.tokens for unit in store.units for name in store.obs(unit.start, unit.stop).index
    }


@pytest.mark.parametrize("categorical", [False, True])
def test_columns_are_joined_per_cell_in_any_order(tmp_path: Path, categorical: bool) -> None:
    cells = pairs()
    if categorical:
        cells.obs = cells.obs.astype("category")
    path = written(cells, tmp_path)
    found = []
    for order in (COLUMNS, COLUMNS[::-1]):
        place = tmp_path / "-".join(order)
        manifest = ingest(path, place, options=told(condition_column=order))
        assert manifest.recipe.condition_column == order
        assert verify(place) == []
        with Store.open(place) as store:
            found.append(conditions(store))
            assert store.words.parse("A+B") == ("A", "B")
    assert found[0] == found[1] == {f"c{k}": one for k, one in enumerate(FOUND)}


def test_cells_come_back_with_both_columns(tmp_path: Path) -> None:
    store, lines = said(pairs(), tmp_path / "store", **told().model_dump(include=_GIVEN))
    with store:
        both = to_adata(store, conditions=["B+A"])
        assert set(zip(both.obs["Drug1"], both.obs["Drug2"], strict=True)) == {
            ("A", "B"),
            ("B", "A"),
        }
    export(tmp_path / "store", tmp_path / "out.h5ad", normalised=True)
    labels = anndata.read_h5ad(tmp_path / "out.h5ad").obs["condition"]
    assert set(labels) == {"control", "A", "B", "A+B", "(+)-C"}
    assert "conditions: obs columns 'Drug1' and 'Drug2', joined per cell" in lines


def test_cells_without_any_label_are_counted(tmp_path: Path) -> None:
    cells = pairs()
    cells.obs.loc["c2":"c4", ["Drug1", "Drug2"]] = [None, "none"]
    line = refused(cells, tmp_path / "store", **told().model_dump(include=_GIVEN))
    assert "'Drug1' and 'Drug2', got 3 of 9 cells without one" in line
    store, _ = said(
        cells, tmp_path / "store", **told().model_dump(include=_GIVEN), drop_unlabelled=True
    )
    assert sum(map(len, store.units)) == 6


@pytest.mark.parametrize("missing", ["NA", "N/A", "NULL"])
def test_what_r_writes_for_no_second_drug_says_nothing(tmp_path: Path, missing: str) -> None:
    cells = adata(["DMSO", "A", "A", "Na"], column="Drug1", Drug2=["DMSO", missing, "Na", missing])
    store, lines = said(cells, tmp_path / "both", **told().model_dump(include=_GIVEN))
    with store:
        assert set(conditions(store).values()) == {(), ("A",), ("A", "Na"), ("Na",)}
    assert not any("missing" in line for line in lines)


@pytest.mark.parametrize("missing", ["NA", "N/A", "A+NA"])
def test_a_perturbation_that_may_be_a_missing_value_is_told(tmp_path: Path, missing: str) -> None:
    cells = adata(["DMSO", "A", missing, "Na"])
    store, lines = said(cells, tmp_path / "all", perturbation="drug")
    store.close()
    [line] = [line for line in lines if "missing value" in line]
    left_out = advised(line)["exclude"]
    assert left_out == missing
    store, lines = said(cells, tmp_path / "rest", perturbation="drug", exclude=(left_out,))
    with store:
        assert set(conditions(store).values()) == {(), ("A",), ("Na",)}
    assert not any("missing value" in line for line in lines)


def test_perturbations_that_differ_by_case_alone_are_told(tmp_path: Path) -> None:
    genes = ("KLF1", "B", "C")

    def lines_of(*labels: str) -> list[str]:
        store, lines = said(adata(["ctrl", *labels], genes=genes), tmp_path / labels[0])
        store.close()
        return [line for line in lines if "lower case" in line]

    [line] = lines_of("KLF1", "klf1+B", "C")
    assert "treated as different: KLF1 beside klf1; if they are one" in line
    assert not lines_of("B", "KLF1+B", "C")


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    options = told(condition_column=("Drug1", "Drug3")).model_dump(include=_GIVEN)
    assert "'Drug3' (nearest: 'Drug2')" in refused(pairs(), tmp_path / "store", **options)
    with pytest.raises(ValueError, match="each column once"):
        IngestOptions(condition_column=("A", "A"))


def test_contexts_of_several_columns_are_told_apart(tmp_path: Path) -> None:
    line, batch = ["x", "y", "x y"] * 6, (["1"] * 3 + ["2"] * 3) * 3
    labels = ["ctrl"] * 6 + ["A"] * 6 + ["B"] * 6
    cells = adata(labels, line=line, batch=batch)
    place = tmp_path / "store"
    store, lines = said(cells, place, context_column=("line", "batch"))
    assert set(store.contexts) == {f"{one} / {other}" for one in set(line) for other in "12"}
    assert "contexts: obs columns 'line' and 'batch', written as 'x / 1'" in lines
    for unit in store.units:
        rows = store.obs(unit.start, unit.stop)
        assert set(rows["line"].astype(str) + " / " + rows["batch"].astype(str)) == {unit.context}
    assert verify(place) == []
    cells.obs["batch"] = np.where(np.arange(18) == 4, None, cells.obs["batch"])
    assert "'line' and 'batch', got 1 of 18" in refused(
        cells, tmp_path / "other", context_column=("line", "batch")
    )


def test_contexts_that_would_be_written_alike_are_refused(tmp_path: Path) -> None:
    cells = adata(
        ["ctrl", "A"] * 2, one=["a / b", "a / b", "a", "a"], two=["c", "c"] + ["b / c"] * 2
    )
    line = refused(cells, tmp_path / "store", context_column=("one", "two"))
    assert "both written 'a / b / c'" in line


def test_an_append_reads_new_files_by_the_same_columns(tmp_path: Path) -> None:
    first = written(pairs(line=["x"] * 9, batch=["1"] * 9), tmp_path, "first.h5ad")
    second = written(pairs("d", line=["x"] * 9, batch=["2"] * 9), tmp_path, "second.h5ad")
    store, contexts = tmp_path / "store", ("line", "batch")
    ingest(first, store, options=told(context_column=contexts))
    manifest = ingest(second, store, options=IngestOptions(append=True))
    assert manifest.contexts == ("x / 1", "x / 2")
    assert manifest.recipe.condition_column == COLUMNS
    assert manifest.recipe.context_column == contexts
    assert verify(store) == []
    with pytest.raises(ValueError, match="--condition-column Drug1 where it was Drug1,Drug2"):
        ingest(second, store, options=IngestOptions(append=True, condition_column=("Drug1",)))


def test_columns_with_a_slash_in_their_names_come_back(tmp_path: Path) -> None:
    cells = adata(["ctrl", "A", "A", "B"], **{"CD4/CD8": [0.1, 0.2, 0.3, 0.4]})
    cells.obs["cell/type"] = pd.Categorical(["T", "B", "T", "B"])
    cells.obs["well/label"] = cells.obs.pop("condition")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of slashes: files of others have them
        path = written(cells, tmp_path)
        ingest(path, tmp_path / "store", options=IngestOptions(condition_column="well/label"))
        export(tmp_path / "store", tmp_path / "out.h5ad")
    back = anndata.read_h5ad(tmp_path / "out.h5ad").obs.loc[cells.obs_names]
    assert [*back] == [*cells.obs]
    for column in back:
        assert back[column].tolist() == cells.obs[column].tolist()
