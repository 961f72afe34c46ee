"""Lists of names: with commas, or from a file."""

from pathlib import Path

import pytest

from cli.names import from_text_or_file, listed


def read(*texts: str) -> tuple[str, ...]:
    return from_text_or_file(texts, column="condition", option="--conditions")


def test_commas_and_repeated_options_are_the_same() -> None:
    assert listed(["A, B", "A+B"]) == listed(["A,B,A+B"]) == ("A", "B", "A+B")
    assert read("A,B", "A") == ("A", "B")


def test_a_file_holds_one_name_per_line(tmp_path: Path) -> None:
    path = tmp_path / "wanted.txt"
    path.write_text("# doubles\nA+B\n\n B \nA,C\n")
    assert read(str(path)) == ("A+B", "B", "A,C")


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t")])
def test_a_table_has_a_column_of_names(tmp_path: Path, suffix: str, separator: str) -> None:
    path = tmp_path / f"wanted{suffix}"
    path.write_text(f"cells{separator}condition\n3{separator}A+B\n4{separator}B\n")
    assert read(str(path)) == ("A+B", "B")


def test_a_table_without_that_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wanted.csv"
    path.write_text("perturbation,cells\nA,3\n")
    with pytest.raises(ValueError, match=r"'condition'.*perturbation, cells"):
        read(str(path))


def test_a_file_that_is_not_there_is_no_name() -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.txt"):
        read("absent.txt")


def test_no_names_at_all_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.write_text("\n")
    for text in (str(path), " , "):
        with pytest.raises(ValueError, match="--conditions"):
            read(text)


def test_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    path.write_bytes(b"\x89HDF\xff\xfe")
    with pytest.raises(ValueError, match="text file"):
        read(str(path))
