"""Files of predictions that cannot be read: the line says why, without a library's words."""

from pathlib import Path

import pytest

from data_store.prediction import PredictionDirectory
from data_store.sources.predictions import read_predictions
from data_store.store.schema import MANIFEST
from scdfm.screen.conditions import Words

WORDS = Words(controls=("control",), separator="+")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cells.h5ad", b"not HDF5", "some of its bytes cannot be decoded"),
        ("cells.h5ad", b"", "some of its bytes cannot be decoded"),
        ("means.csv", b"", "it is empty"),
        ("means.csv", b"condition,G1\nA,1\nB,2,3\n", "a row has 3 fields where the header has 2"),
        ("means.csv", b"condition,G1\n\xff\xfe\xfa,1\n", "it is not text in UTF-8"),
        ("means.parquet", b"PAR1", "it is damaged, or of another kind than its ending says"),
    ],
)
def test_the_cause_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="got what cannot be read") as caught:
        read_predictions(tmp_path / name, words=WORDS, contexts=("",))
    assert f"({said}); write it again, or name another" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"cells"', "got a damaged one (Invalid JSON: "),
        ('{"cells": "many"}', "got one whose cells does not fit (Input should be a valid integer"),
    ],
)
def test_a_damaged_manifest_is_told_with_what_is_wrong(
    tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(ValueError, match="predict again") as caught:
        PredictionDirectory(tmp_path).manifest()
    assert said in str(caught.value)
