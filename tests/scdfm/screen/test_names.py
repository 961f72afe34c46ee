"""Facts about names in messages and lists."""

import pytest

from scdfm.screen.names import apart, aside, how_many, listed, nearest


def test_nearest_ignores_case() -> None:
    assert nearest("klf1", ["KLF1", "SET"]) == "did you mean 'KLF1'?"
    assert aside("klf1", ["KLF1", "SET"]) == " (nearest: 'KLF1')"


def test_nearest_lists_what_is_known_when_nothing_is_close() -> None:
    assert nearest("zzz", ["A", "B"]) == "known are 'A', 'B'"
    assert nearest("zzz", list("ABCDEFG")) == "known are 'A', 'B', 'C', 'D', 'E' and 2 more"
    assert nearest("zzz", []) == "there are none"
    assert aside("zzz", ["A", "B"]) == ""


def test_a_short_name_that_shares_some_letters_is_not_what_was_meant() -> None:
    assert nearest("NOPE", ["CENPE", "SET"]) == "known are 'CENPE', 'SET'"
    assert nearest("tpa", ["tpe", "grid"]) == "did you mean 'tpe'?"
    assert nearest("KLF2", ["KLF1", "SET"]) == "did you mean 'KLF1'?"


def test_one_of_a_kind_has_no_plural() -> None:
    assert [how_many(n, "cell") for n in (0, 1, 2_386)] == ["0 cells", "1 cell", "2,386 cells"]


def test_a_long_list_says_how_many_are_left_out() -> None:
    assert listed(range(14)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more"
    assert listed([]) == "none"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("A,B", ["A", "B"]),
        (" A , ,B,", ["A", "B"]),
        ("2,4-D", ["2,4-D"]),
        ("A,2,4-D,B", ["A", "2,4-D", "B"]),
        ("2,4-D,2,4-D, salt", ["2,4-D", "2,4-D, salt"]),
        ("2,5-D", ["2", "5-D"]),
    ],
)
def test_a_known_name_keeps_its_commas(text: str, names: list[str]) -> None:
    assert apart(text, known={"2,4-D", "2,4-D, salt", "A"}) == names
