"""Facts about condition names."""

import pytest

from scdfm.screen.conditions import condition, name, nearest, parse, resolve

CONDITIONS = {"KLF1": ("KLF1",), "KLF1+MAP2K6": ("KLF1", "MAP2K6")}
LABELS = {"KLF1": "KLF1+ctrl", "KLF1+MAP2K6": "MAP2K6+KLF1"}


def test_the_order_of_tokens_never_matters() -> None:
    assert condition(("B", "A")) == condition(("A", "B")) == parse("B+A")


def test_no_tokens_are_the_control() -> None:
    assert name(()) == "control"
    assert parse("DMSO") == ()


@pytest.mark.parametrize("text", ["A", "A+ctrl", "ctrl+A", "Control + A"])
def test_a_single_is_the_same_however_it_is_written(text: str) -> None:
    assert parse(text) == ("A",)


def test_an_empty_token_is_refused() -> None:
    with pytest.raises(ValueError, match="joined by"):
        parse("A+")


@pytest.mark.parametrize("text", ["KLF1+MAP2K6", "MAP2K6+KLF1", "MAP2K6+KLF1+ctrl"])
def test_every_form_of_a_name_finds_its_condition(text: str) -> None:
    assert resolve(text, conditions=CONDITIONS, labels=LABELS) == "KLF1+MAP2K6"


def test_an_unknown_condition_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'KLF1'"):
        resolve("KLF2", conditions=CONDITIONS, labels=LABELS)


def test_nearest_ignores_case() -> None:
    assert nearest("klf1", ["KLF1", "SET"]) == "did you mean 'KLF1'?"


def test_nearest_lists_what_is_known_when_nothing_is_close() -> None:
    assert nearest("zzz", ["A", "B"]) == "known are A, B"
