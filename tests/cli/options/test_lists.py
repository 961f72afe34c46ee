"""Lists of conditions on the command line, for labels that hold commas and `+`."""

import json
from pathlib import Path

import anndata
import pytest

from tests.cli.conftest import Call
from tests.data_store.cells import adata, written

LABELS = ("PBS", "PBS", "2,4-D", "(+)-JQ1", "(+)-JQ1|2,4-D", "DMSO", "DMSO|A", "A")
INGEST = ("--control", "PBS", "--separator", "|", "--perturbation", "drug")


@pytest.fixture
def store(scdfm: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    written(adata(LABELS), Path())
    assert scdfm("ingest", "cells.h5ad", "store", *INGEST).status == 0
    return "store"


def exported() -> list[str]:
    return sorted(anndata.read_h5ad("out.h5ad").obs["condition"].unique())


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("2,4-D", ["2,4-D"]),
        ("A,2,4-D,control", ["2,4-D", "A", "PBS"]),
        ("2,4-D|(+)-JQ1,(+)-JQ1", ["(+)-JQ1", "(+)-JQ1|2,4-D"]),
        ("DMSO|A", ["DMSO|A"]),
        ("DMSO", ["DMSO"]),
    ],
)
def test_export_takes_labels_as_the_store_knows_them(
    scdfm: Call, store: str, asked: str, found: list[str]
) -> None:
    called = scdfm("export", store, "out.h5ad", "--conditions", asked)
    assert called.status == 0, called.err
    assert exported() == found


def test_every_list_of_conditions_may_be_a_file(scdfm: Call, store: str) -> None:
    Path("wanted.txt").write_text("2,4-D\n(+)-JQ1|2,4-D\n")
    wanted = ["(+)-JQ1|2,4-D", "2,4-D"]
    assert scdfm("export", store, "out.h5ad", "--conditions", "wanted.txt").status == 0
    assert exported() == wanted
    made = scdfm("split", store, "--kind", "list", "--test", "wanted.txt", "--json")
    assert made.status == 0, made.err
    # By canonical name, as splits keep conditions.
    assert json.loads(made.out)["test"] == ["(+)-JQ1+2,4-D", "2,4-D"]
    left = scdfm("ingest", "cells.h5ad", "without", *INGEST, "--exclude", "wanted.txt")
    assert left.status == 0, left.err
    assert scdfm("export", "without", "out.h5ad", "--overwrite").status == 0
    assert exported() == ["(+)-JQ1", "A", "DMSO", "DMSO|A", "PBS"]


def test_a_split_and_an_ingest_keep_the_commas_of_labels(scdfm: Call, store: str) -> None:
    made = scdfm("split", store, "--kind", "list", "--test", "A,2,4-D", "--json")
    assert json.loads(made.out)["test"] == ["2,4-D", "A"]
    assert scdfm("ingest", "cells.h5ad", "some", *INGEST, "--exclude", "A,2,4-D,DMSO").status == 0
    assert scdfm("export", "some", "out.h5ad").status == 0
    assert exported() == ["(+)-JQ1", "(+)-JQ1|2,4-D", "DMSO|A", "PBS"]


def test_a_control_word_of_others_is_no_control_on_the_command_line(
    scdfm: Call, store: str
) -> None:
    refused = scdfm("split", store, "--kind", "list", "--test", "DMSO|(+)-JQ1")
    assert refused.status == 2
    assert "'DMSO|(+)-JQ1' is not in the data" in refused.error
