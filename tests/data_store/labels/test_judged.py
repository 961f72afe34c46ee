"""All labels of a screen decide which signs join tokens, and which are part of a name."""

import shlex
from collections.abc import Sequence

import pytest

from scdfm.screen.conditions import CONTROL_WORDS, Words
from scdfm.screen.labels import Judged, judged
from scdfm.screen.spelling import tidy

DRUGS = ["control", "(+)-JQ1", "Vitamin D+", "CD4+", "A+", "Na+/K+ pump inhibitor", "Dacinostat"]


def judge(
    *labels: str, separator: str = "+", controls: Sequence[str] = CONTROL_WORDS, told: bool = False
) -> Judged:
    words = Words(controls=tuple(controls), separator=separator)
    return judged(labels, words, told=told)


def read(judgement: Judged, label: str) -> tuple[str, ...]:
    return judgement.words.parse(label)


def advised(line: str) -> str:
    """The separator that a line advises."""
    arguments = shlex.split(line.partition("; ")[2])
    return arguments[arguments.index("--separator") + 1]


def test_a_plus_within_a_name_makes_no_double() -> None:
    found = judge(*DRUGS)
    for label in DRUGS[1:]:
        assert read(found, label) == (label,)
    assert set(found.whole) == set(DRUGS[1:-1])
    (line,) = found.remarks()
    assert line.startswith("labels: 5 have '+' ('(+)-JQ1', 'A+', 'CD4+',")
    assert not found.warnings()


def test_labels_are_taken_apart_where_the_parts_make_sense() -> None:
    found = judge("ctrl", "A", "B+ctrl", "A+B", "FOXL2+C3orf72", "(+)-JQ1", "A+(+)-JQ1", "A+B+D")
    assert read(found, "A+B") == ("A", "B")
    assert read(found, "B+ctrl") == ("B",)
    assert read(found, "FOXL2+C3orf72") == ("C3orf72", "FOXL2")  # words that occur nowhere else
    assert read(found, "A+(+)-JQ1") == ("(+)-JQ1", "A")
    assert read(found, "A+B+D") == ("A", "B", "D")
    assert not found.warnings()


def test_a_token_that_ends_in_a_plus_is_known_in_combinations() -> None:
    found = judge("ctrl", "CD4+", "B", "CD4++B", "C++B")
    assert read(found, "CD4++B") == ("B", "CD4+")
    assert read(found, "B+CD4+") == ("B", "CD4+")  # in an order that the data do not hold
    assert read(found, "C++B") == ("C++B",)  # nothing says what it is


@pytest.mark.parametrize(
    "label",
    ["Ca2+ chelator", "A+ medium", "compound 12+13", "(A+B", "A+-B", "TGF-β 3+Wnt agonist", "+"],
)
def test_odd_fragments_keep_a_label_whole_and_are_named(label: str) -> None:
    found = judge("ctrl", "A", "B", "A+B", label)
    assert read(found, label) == (label,)
    assert any(repr(label) in line for line in (*found.remarks(), *found.warnings()))
    assert all("--separator" in line for line in (*found.remarks(), *found.warnings()))


def test_a_label_in_doubt_is_taken_apart_by_the_advice() -> None:
    labels = ("ctrl", "A", "Vitamin D+K2 complex")
    found = judge(*labels)
    assert found.doubtful == labels[2:]
    (line,) = found.warnings()
    again = judge(*labels, separator=advised(line), told=True)
    assert read(again, labels[2]) == ("K2 complex", "Vitamin D")
    assert not again.warnings()


def test_a_part_that_occurs_in_other_labels_makes_sense() -> None:
    found = judge("ctrl", "drug a+drug b", "drug b+drug c", "drug a+drug c")
    assert read(found, "drug a+drug b") == ("drug a", "drug b")
    assert read(judge("ctrl", "drug a + drug b"), "drug a + drug b") == ("drug a", "drug b")


@pytest.mark.parametrize(
    ("sign", "labels", "double"),
    [
        ("|", ("ctrl", "A", "B", "A|B"), "A|B"),
        ("_", ("ctrl", "STAT1", "IRF1", "STAT1_IRF1"), "STAT1_IRF1"),
        (";", ("ctrl", "A", "B;A", "C;A"), "B;A"),
        (",", ("ctrl", "A", "B", "A,B"), "A,B"),
        ("/", ("ctrl", "A", "B", "A/B"), "A/B"),
        ("&", ("ctrl", "A", "B", "A & B"), "A & B"),
        (":", ("ctrl", "A", "B", "A:B"), "A:B"),
        ("_", ("control_control", "A1_control", "control_B1", "A1_B1"), "A1_B1"),
    ],
)
def test_another_separator_is_suggested_and_works(
    sign: str, labels: tuple[str, ...], double: str
) -> None:
    found = judge(*labels)
    assert len(read(found, double)) == 1
    (line,) = found.warnings()
    assert advised(line) == sign
    again = judge(*labels, separator=sign, told=True)
    assert len(read(again, double)) == 2
    assert not again.warnings()


def test_plus_is_suggested_where_another_separator_was_named() -> None:
    found = judge("ctrl", "A", "B", "A+B", separator="|", told=True)
    assert [advised(line) for line in found.warnings()] == ["+"]


@pytest.mark.parametrize(
    "labels",
    [
        ("DMSO", "JQ1_10", "JQ1_100", "SAHA_10", "SAHA_100"),  # doses
        ("sgA_1", "sgA_2", "sgB_1", "sgB_2", "ctrl"),  # guides
        ("NT_1", "NT_2", "NT_3", "NT"),  # numbers of the control
        ("ctrl", "HLA-A", "NKX2-1", "2,4-D", "Na/K-ATPase"),
    ],
)
def test_doses_guides_and_names_suggest_nothing(labels: tuple[str, ...]) -> None:
    found = judge(*labels)
    assert not (*found.warnings(), *found.remarks())
    assert all(len(found.words.parse(label)) <= 1 for label in labels)


def test_guides_of_a_cell_suggest_their_sign() -> None:
    labels = ("NT_1", "NT_3|NT_4", "sgSTAT1_1", "sgIRF1_1|sgSTAT1_1", "sgIRF1_1|sgSTAT1_2|sgJAK2_1")
    (line,) = judge(*labels, controls=("NT_1", "NT_3", "NT_4")).warnings()
    again = judge(*labels, controls=("NT_1", "NT_3", "NT_4"), separator=advised(line))
    assert read(again, labels[-1]) == ("sgIRF1_1", "sgJAK2_1", "sgSTAT1_2")
    assert read(again, "NT_3|NT_4") == ()


@pytest.mark.parametrize(
    ("one", "other", "code"),
    [
        ("JQ1 1 \u00b5M", "JQ1 1 \u03bcM", "U+03BC"),  # micro sign, Greek mu
        ("Caf\u00e9", "Cafe\u0301", "U+0301"),  # composed, decomposed
        ("drug\u00a0a", "drug a", "U+00A0"),  # a space that does not break
        ("IFN\u200b-\u03b3", "IFN-\u03b3", "U+200B"),  # zero width
        ("\uff21\uff22", "AB", "U+FF21"),  # full width
    ],
)
def test_labels_that_look_alike_are_one_and_said(one: str, other: str, code: str) -> None:
    found = judge("ctrl", one, other, f"{one}+B", "B")
    assert read(found, one) == read(found, other) == (tidy(one),)
    assert read(found, f"B+{other}") == read(found, f"{one}+B")
    (line,) = found.remarks()
    assert code in line
    assert "are one" in line


def test_spaces_around_a_label_are_nothing_to_say() -> None:
    assert not judge("ctrl", " A", "A ", "A").remarks()


def test_words_of_before_read_look_alikes_by_their_own_tokens() -> None:
    words = Words(controls=("ctrl",), separator="+", known={"1 \u00b5M": ("1 \u00b5M",)})
    assert words.parse("1 \u03bcM") == words.parse("1 \u00b5M+ctrl") == ("1 \u00b5M",)


def test_what_was_decided_stays_when_labels_are_added() -> None:
    first = judge("ctrl", "Vitamin D+K2 complex", "CD4+")
    words = first.words.knowing({label: first.words.parse(label) for label in ("ctrl",)})
    later = judged(["ctrl", "Vitamin D", "K2 complex", "Vitamin D+K2 complex"], words)
    assert later.words.parse("Vitamin D+K2 complex") == ("Vitamin D+K2 complex",)
    assert later.words.parse("CD4+") == ("CD4+",)
