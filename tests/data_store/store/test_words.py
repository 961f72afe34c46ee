"""A store reads the names of conditions by its own words: its controls, separator and labels."""

from pathlib import Path
from typing import Any

import pytest

from data_store.ingest.write import IngestOptions, ingest
from data_store.store.export import to_adata
from data_store.store.integrity import verify
from data_store.store.reader import Store
from tests.data_store.cells import adata, written


def store_of(folder: Path, *labels: str, name: str = "cells.h5ad", **options: Any) -> Path:
    cells = adata(labels)
    cells.obs_names = [f"{name}{k}" for k in range(len(labels))]
    told = IngestOptions.model_validate({"perturbation": "drug", **options})
    ingest(written(cells, folder, name), folder / "store", options=told)
    return folder / "store"


def labels(path: Path) -> set[str]:
    with Store.open(path) as store:
        return set(to_adata(store).obs["condition"])


def test_a_word_that_is_no_control_of_the_store_is_a_token(tmp_path: Path) -> None:
    path = store_of(tmp_path, "PBS", "PBS", "drugA", "DMSO+drugA", "DMSO", control=("PBS",))
    with Store.open(path) as store:
        assert store.words.parse("drugA+DMSO") == ("DMSO", "drugA")
        for asked in ("DMSO+drugA", "drugA", "DMSO", "drugA+PBS"):
            found = set(to_adata(store, conditions=[asked]).obs["condition"])
            assert found == {asked.removesuffix("+PBS")}


def test_excluding_a_usual_control_word_leaves_the_control_alone(tmp_path: Path) -> None:
    path = store_of(tmp_path, "WT", "WT", "A", "DMSO", control=("WT",), exclude=("DMSO",))
    assert labels(path) == {"WT", "A"}


def test_conditions_are_excluded_by_the_separator_of_the_data(tmp_path: Path) -> None:
    told = {"control": ("PBS",), "separator": "|", "exclude": ("B|A",)}
    path = store_of(tmp_path, "PBS", "A", "A|B", "(+)-B", **told)
    assert labels(path) == {"PBS", "A", "(+)-B"}


def test_a_condition_of_a_store_is_found_in_every_spelling(tmp_path: Path) -> None:
    path = store_of(tmp_path, "PBS", "B|A", "(+)-B|2,4-D", control=("PBS",), separator="|")
    with Store.open(path) as store:
        for spellings in (("B|A", "A|B", "A+B", "PBS|A|B"), ("(+)-B|2,4-D", "2,4-D|(+)-B")):
            for one in spellings:
                found = set(to_adata(store, conditions=[one]).obs["condition"])
                assert found == {spellings[0]}, one
        assert set(to_adata(store, conditions=["control"]).obs["condition"]) == {"PBS"}
        assert verify(path) == []


def test_a_label_with_a_comma_is_excluded_whole(tmp_path: Path) -> None:
    path = store_of(tmp_path, "ctrl", "A", "2,4-D", "B", exclude=("2,4-D,B",))
    assert labels(path) == {"ctrl", "A"}
    with Store.open(path) as store:
        assert store.manifest.recipe.exclude == ("2,4-D", "B")


def test_one_list_and_two_options_are_the_same_ingest(tmp_path: Path) -> None:
    store_of(tmp_path, "ctrl", "A", "B", "C", exclude=("A,B",))
    path = store_of(tmp_path, "ctrl", "A", "B", "C", exclude=("A", "B"))  # it is there already
    assert labels(path) == {"ctrl", "C"}


def test_cells_are_appended_by_the_words_of_the_store(tmp_path: Path) -> None:
    told = {"control": ("WT",), "separator": "|"}
    store_of(tmp_path, "WT", "A", "DMSO", "2,4-D", exclude=("DMSO,2,4-D",), **told)
    path = store_of(
        tmp_path, "WT", "A|B", "DMSO", "2,4-D", name="b.h5ad", append=True, perturbation=None
    )
    assert labels(path) == {"WT", "A", "A|B"}


def test_two_conditions_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'A\+B' and 'A\|B' are different conditions"):
        store_of(tmp_path, "PBS", "A|B", "A+B", control=("PBS",), separator="|")
    with pytest.raises(ValueError, match="both are written 'control'"):
        store_of(tmp_path, "PBS", "control", "A", control=("PBS",))
