"""Facts about the names of conditions: what a label means, and how a condition is written."""

import pytest

from scdfm.screen.conditions import USUAL, Words, condition, name
from scdfm.screen.names import apart

NORMAN = Words(
    controls=("ctrl",),
    separator="+",
    known={"KLF1+ctrl": ("KLF1",), "MAP2K6+KLF1": ("KLF1", "MAP2K6"), "ctrl": ()},
)
DRUGS = Words(
    controls=("PBS",),
    separator="|",
    known={"PBS": (), "2,4-D": ("2,4-D",), "(+)-JQ1|A": ("(+)-JQ1", "A"), "A|B": ("A", "B")},
)


def test_the_order_of_tokens_never_matters() -> None:
    assert condition(("B", "A")) == condition(("A", "B")) == USUAL.parse("B+A")
    assert name(USUAL.parse("B+A")) == "A+B"


def test_no_tokens_are_the_control() -> None:
    assert name(()) == "control"


@pytest.mark.parametrize("label", ["control", "ctrl", "ctrl+ctrl", "Non-Targeting", "NT", "DMSO"])
def test_usual_control_words_alone_are_the_control(label: str) -> None:
    assert USUAL.parse(label) == ()


@pytest.mark.parametrize("text", ["A", "A+ctrl", "ctrl+A", "Control + A", " A "])
def test_a_single_is_the_same_however_it_is_written(text: str) -> None:
    assert USUAL.parse(text) == ("A",)


@pytest.mark.parametrize("text", ["A+", "+", "", "A++B"])
def test_an_empty_token_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"joined by '\+'"):
        USUAL.parse(text)


def test_only_the_chosen_words_are_the_control() -> None:
    words = Words(controls=("PBS",), separator="+")
    assert words.parse("pbs") == ()
    assert words.parse("DMSO+drugA") == ("DMSO", "drugA")
    assert words.parse("PBS+drugA") == ("drugA",)


def test_only_the_chosen_separator_takes_labels_apart() -> None:
    words = Words(controls=("PBS",), separator="|")
    assert words.parse("B|A") == ("A", "B")
    assert words.parse("CD3+") == ("CD3+",)


@pytest.mark.parametrize("words", [NORMAN, DRUGS], ids=["norman", "drugs"])
def test_every_known_label_and_canonical_name_is_its_condition(words: Words) -> None:
    for label, tokens in words.known.items():
        assert words.parse(label) == tokens
        assert words.parse(name(tokens)) == tokens
        assert words.parse(words.spell(tokens)) == tokens


def test_a_known_label_is_not_taken_apart() -> None:
    words = Words(controls=("ctrl",), separator="+", known={"CD3+CD4": ("CD3+CD4",)})
    assert words.parse("CD3+CD4") == ("CD3+CD4",)
    assert words.parse("CD3+X") == ("CD3", "X")


def test_a_condition_is_spelt_as_the_data_write_it() -> None:
    assert NORMAN.spell(("KLF1", "MAP2K6")) == "MAP2K6+KLF1"
    assert NORMAN.spell(("KLF1",)) == "KLF1+ctrl"
    assert DRUGS.spell(()) == "PBS"


def test_a_condition_that_the_data_do_not_hold_is_spelt_with_their_separator() -> None:
    assert DRUGS.spell(("B", "C")) == "B|C"
    assert DRUGS.parse("B|C") == ("B", "C")


@pytest.mark.parametrize("text", ["KLF1+MAP2K6", "MAP2K6+KLF1", "MAP2K6+KLF1+ctrl"])
def test_every_form_of_a_name_finds_its_condition(text: str) -> None:
    assert NORMAN.find(text, among=["KLF1", "KLF1+MAP2K6"]) == "KLF1+MAP2K6"


def test_an_unknown_condition_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'KLF1'"):
        NORMAN.find("KLF2", among=["KLF1", "KLF1+MAP2K6"])


def test_words_that_know_more_labels_read_both_and_spell_their_own() -> None:
    NORMAN.parse("KLF1+SET")  # what was read before must not decide
    both = NORMAN.knowing({"A|B": ("A", "B"), "KLF1|MAP2K6": ("KLF1", "MAP2K6")})
    assert both.parse("A|B") == both.parse("A+B") == ("A", "B")
    assert both.parse("KLF1|MAP2K6") == both.parse("MAP2K6+KLF1") == ("KLF1", "MAP2K6")
    assert both.spell(("KLF1", "MAP2K6")) == "MAP2K6+KLF1"
    assert NORMAN.parse("A|B") == ("A|B",)


def test_words_hold_what_is_written_with_known_tokens() -> None:
    for label in ("2,4-D", "A|2,4-D", "(+)-JQ1+A", "PBS|B", "PBS"):
        assert label in DRUGS
    for label in ("2", "A|C", "A|", "DMSO", ""):
        assert label not in DRUGS
    assert apart("2,4-D|A,B", known=DRUGS) == ["2,4-D|A", "B"]


def test_words_come_back_from_json() -> None:
    back = Words.model_validate_json(DRUGS.model_dump_json())
    assert back == DRUGS
    assert back.parse("(+)-JQ1|A") == ("(+)-JQ1", "A")
