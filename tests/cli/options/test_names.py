"""Lists of names: with commas, or from a file."""

from pathlib import Path

import pytest

from cli.names import as_given, from_text_or_file


def read(*texts: str, known: frozenset[str] = frozenset()) -> tuple[str, ...]:
    return from_text_or_file(texts, column="condition", option="--conditions", known=lambda: known)


def test_commas_and_repeated_options_are_the_same() -> None:
    assert read("A, B", "A+B") == read("A,B,A+B") == ("A", "B", "A+B")
    assert read("A,B", "A") == ("A", "B")


def test_a_file_holds_one_name_per_line(tmp_path: Path) -> None:
    path = tmp_path / "wanted.txt"
    path.write_text("# doubles\nA+B\n\n B \nA,C\n")
    assert read(str(path)) == ("A+B", "B", "A,C")


def test_a_name_that_begins_with_the_sign_of_a_comment_is_said_and_can_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "wanted.txt"
    path.write_text("# the first fold\n##\nA\n#7\n")
    with caplog.at_level("INFO"):
        assert read(str(path)) == ("A",)
    assert caplog.messages == [f"{path}: #7 is a comment; write \\#7 if it is a name"]
    path.write_text("A\n\\#7\n")
    assert read(str(path)) == as_given([str(path)], column="x", option="x") == ("A", "#7")


def test_a_file_among_names_is_no_name(tmp_path: Path) -> None:
    path = tmp_path / "wanted.txt"
    path.write_text("B\n")
    with pytest.raises(ValueError, match=r"wanted\.txt among .*; give the file by itself"):
        read(f"{path},A")
    assert read(str(path), "A") == ("B", "A")
    assert read("a.txt-like,A") == ("a.txt-like", "A")


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


def test_a_name_with_a_comma_that_is_known_stays_whole() -> None:
    assert read("A,2,4-D", known=frozenset({"2,4-D"})) == ("A", "2,4-D")
    assert read("A,2,4-D") == ("A", "2", "4-D")


def test_what_is_known_is_asked_only_for_a_comma() -> None:
    def known() -> frozenset[str]:
        raise AssertionError

    assert from_text_or_file(["A"], column="c", option="--c", known=known) == ("A",)


def test_who_knows_later_gets_texts_with_their_commas(tmp_path: Path) -> None:
    path = tmp_path / "wanted.txt"
    path.write_text("2,4-D\nA\n")
    texts = [str(path), "A,B", " C "]
    assert as_given(texts, column="condition", option="--exclude") == ("2,4-D", "A", "A,B", "C")


def test_a_list_may_be_longer_than_a_file_name() -> None:
    names = tuple(f"GENE{k}" for k in range(2_000))
    assert read(",".join(names)) == names
