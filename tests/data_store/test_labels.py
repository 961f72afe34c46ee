"""Labels of conditions become sorted tokens and one canonical name."""

import pytest

from data_store.store.labels import canonical, parse


@pytest.mark.parametrize("label", ["A+ctrl", "ctrl+A", "A", "CTRL+A", " A "])
def test_a_single_is_the_same_however_it_is_written(label: str) -> None:
    assert parse(label) == ("A",)


@pytest.mark.parametrize("label", ["control", "ctrl", "ctrl+ctrl", "Non-Targeting", "NT", "DMSO"])
def test_control_words_alone_are_the_control(label: str) -> None:
    assert parse(label) == ()


def test_the_order_of_tokens_never_matters() -> None:
    assert canonical(parse("B+A")) == canonical(parse("A+B")) == "A+B"


def test_no_tokens_are_called_control() -> None:
    assert canonical(()) == "control"


def test_control_words_can_be_chosen() -> None:
    assert parse("mock", controls=["mock"]) == ()
    assert parse("ctrl", controls=["mock"]) == ("ctrl",)


def test_an_empty_token_is_refused() -> None:
    with pytest.raises(ValueError, match="'A\\+'"):
        parse("A+")
