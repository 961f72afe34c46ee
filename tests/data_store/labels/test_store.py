"""What was decided about labels is kept in the store, for everyone who reads it later."""

from pathlib import Path

import anndata
import pytest

from data_store.ingest.write import IngestOptions, ingest
from data_store.store.export import to_adata
from data_store.store.integrity import verify
from data_store.store.reader import Store
from scdfm.splits.split import Split
from tests.data_store.cells import adata, written
from tests.data_store.screens.said import said

DRUG = {"perturbation": "drug"}


def cells(*labels: str, prefix: str = "c") -> anndata.AnnData:
    made = adata(labels)
    made.obs_names = [f"{prefix}{k}" for k in range(len(labels))]
    return made


def test_drugs_with_a_plus_in_their_names_are_one_token_each(tmp_path: Path) -> None:
    labels = ("control", "(+)-BETi", "Vitamin D+", "Dacinostat", "Dacinostat+(+)-BETi")
    store, lines = said(cells(*labels), tmp_path / "store", **DRUG)
    assert {tokens for tokens in store.conditions.values() if len(tokens) == 1} == {
        (label,) for label in labels[1:4]
    }
    assert store.words.parse(labels[4]) == ("(+)-BETi", "Dacinostat")
    assert store.words.parse("Vitamin D++Dacinostat") == ("Dacinostat", "Vitamin D+")  # unseen
    assert any("2 have '+' ('(+)-BETi', 'Vitamin D+') within a name" in line for line in lines)
    assert store.manifest.recipe.whole == ("Vitamin D+",)
    assert verify(tmp_path / "store") == []


def test_new_files_are_read_as_the_first_were(tmp_path: Path) -> None:
    doubt = "Vitamin D+K2 complex"
    first = written(cells("ctrl", doubt, "A"), tmp_path, "first.h5ad")
    later = cells("ctrl", "Vitamin D", "K2 complex", doubt, "A+CD4+", prefix="d")
    second = written(later, tmp_path, "second.h5ad")
    ingest(first, tmp_path / "store", options=IngestOptions(perturbation="drug"))
    ingest(second, tmp_path / "store", options=IngestOptions(append=True))
    with Store.open(tmp_path / "store") as store:
        assert store.conditions[doubt] == (doubt,)
        assert to_adata(store, conditions=[doubt]).n_obs == 2
        assert store.words.parse("A+CD4+") == ("A+CD4+",)
    assert verify(tmp_path / "store") == []


def test_look_alikes_share_a_condition_and_obs_keeps_the_raw_labels(tmp_path: Path) -> None:
    micro, mu = "JQ1 1 \u00b5M", "JQ1 1 \u03bcM"
    store, lines = said(cells("DMSO", micro, mu, mu), tmp_path / "store", **DRUG)
    assert len(store.conditions) == 1
    for asked in (micro, mu):
        assert set(to_adata(store, conditions=[asked]).obs["condition"]) == {micro, mu}
    assert any("U+00B5" in line and "are one" in line for line in lines)
    assert verify(tmp_path / "store") == []


def test_a_condition_is_left_out_with_its_control_or_without(tmp_path: Path) -> None:
    labels = ("WT", "STAT1+WT", "IRF1+WT", "DMSO")
    for asked in (("STAT1+WT", "DMSO"), ("STAT1,DMSO",)):
        store, _ = said(cells(*labels), tmp_path / asked[0], control=("WT",), exclude=asked, **DRUG)
        assert set(store.conditions) == {"IRF1"}


def test_a_separator_that_nobody_named_is_not_silent(tmp_path: Path) -> None:
    labels = ("ctrl", "A", "B", "A_B")
    store, lines = said(cells(*labels), tmp_path / "one", **DRUG)
    assert store.conditions["A_B"] == ("A_B",)
    (line,) = (line for line in lines if "--separator '_' takes them apart" in line)
    assert line.startswith("warning: ")
    store, lines = said(cells(*labels), tmp_path / "two", separator="_", **DRUG)
    assert store.conditions["A+B"] == ("A", "B")
    assert not any("--separator" in line for line in lines)


@pytest.mark.timeout(60)
def test_thousands_of_conditions_of_one_cell_are_verified_and_split(tmp_path: Path) -> None:
    labels = [f"g{k}" for k in range(2_000)]
    store, _ = said(cells("ctrl", *labels), tmp_path / "store", **DRUG)
    assert verify(tmp_path / "store") == []
    assert len(store.conditions) == 2_000
    names = tuple(f"g{k}" for k in range(60_000))
    split = Split(
        kind="list", seed=0, fold=0, train=names[:-9], test=names[-9:], validation_kind="cells"
    )
    assert [split.part(name, context="all") for name in names].count("test") == 9
