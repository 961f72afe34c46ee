"""Lists of edges in the forms that users have them."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from data_store.edges import read_edges

LINES = "target,note,source,weight\nB,x,A,0.5\nNA,y,1,-2\n"


def test_columns_are_found_by_name_and_names_stay_text(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text(LINES)
    edges = read_edges(tmp_path / "edges.csv")
    assert (edges.sources, edges.targets) == (["A", "1"], ["B", "NA"])
    assert edges.weights is not None
    assert edges.weights.tolist() == [0.5, -2]


@pytest.mark.parametrize("name", ["edges.tsv", "edges.txt", "edges.csv.gz", "edges.tsv.gz"])
def test_tabs_and_compressed_files_are_read_alike(tmp_path: Path, name: str) -> None:
    (tmp_path / "edges.csv").write_text(LINES)
    text = LINES if "csv" in name else LINES.replace(",", "\t")
    content = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    first, again = read_edges(tmp_path / "edges.csv"), read_edges(tmp_path / name)
    assert (again.sources, again.targets) == (first.sources, first.targets)
    np.testing.assert_array_equal(again.weights, first.weights)


def test_parquet_with_coded_names_and_whole_weights(tmp_path: Path) -> None:
    table = pa.table(
        {
            "source": pa.array(["A", "B"]).dictionary_encode(),
            "target": pa.array(["B", "C"], pa.large_string()),
            "weight": pa.array([1, 2], pa.int8()),
        }
    )
    parquet.write_table(table, tmp_path / "edges.parquet")
    edges = read_edges(tmp_path / "edges.parquet")
    assert (edges.sources, edges.targets) == (["A", "B"], ["B", "C"])
    assert edges.weights is not None
    assert edges.weights.tolist() == [1.0, 2.0]


def test_weights_may_be_left_out_and_another_content_has_another_hash(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("source,target\nA,B\n")
    (tmp_path / "b.csv").write_text("source,target\nA,C\n")
    first, other = read_edges(tmp_path / "a.csv"), read_edges(tmp_path / "b.csv")
    assert first.weights is None
    assert first.sha256 != other.sha256


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a list of edges .*: it is empty"),
        ("source,target\n", "holds no edges"),
        ("gene1,gene2\nA,B\n", "got gene1, gene2; source and target is missing"),
        ("source,gene\nA,B\n", "target is missing"),
        ("source,target,weight\nA,B,strong\n", "'strong' stands where a number is expected"),
        (
            "source,target,weight\nA,B,1\nA,C,nan\n",
            "1 of 2 edges have no finite weight, first is edge 2",
        ),
        ("source,target\nA,\n", "1 of 1 edges have no target, first is edge 1"),
        ("source,target\nA,B,C\n", "a row has 3 fields where the header has 2"),
    ],
)
def test_a_file_that_lists_no_edges_is_refused_in_one_line(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "edges.csv").write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        read_edges(tmp_path / "edges.csv")
    assert "\n" not in str(caught.value)


def test_a_damaged_parquet_and_a_missing_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "edges.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(ValueError, match=r"edges\.parquet is not a list of edges"):
        read_edges(tmp_path / "edges.parquet")
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_edges(tmp_path / "none.csv")
