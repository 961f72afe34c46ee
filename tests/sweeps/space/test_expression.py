"""The arithmetic of tied settings."""

import pytest

from sweeps.schema.expression import evaluate, settings_in

VALUES = {"model.width": 512, "loss.mmd_weight": 0.5, "model.kind": "paper", "graph.positive": True}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("model.width // 64", 8),
        ("model.width / 64", 8.0),
        ("2 * (model.width - 12) % 7", 6),
        ("min(4, round(model.width / 100))", 4),
        ("max(loss.mmd_weight, 0.1, -3)", 0.5),
        ("1e-3 * model.width ** -0.5", 1e-3 * 512**-0.5),
        ("-model.width + 3 ** 2", -503),
    ],
)
def test_arithmetic_is_that_of_python(text: str, value: float) -> None:
    found = evaluate(text, VALUES)
    assert found == pytest.approx(value)
    assert type(found) is type(value)


def test_the_settings_that_it_reads_are_named() -> None:
    assert settings_in("min(model.width, 2) + loss.mmd_weight") == {
        "model.width",
        "loss.mmd_weight",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model.width //", "cannot read 'model.width //'"),
        ("open('x')", "cannot read"),
        ("__import__('os').system('true')", "cannot read"),
        ("model.width if True else 1", "cannot read"),
        ("[model.width][0]", "cannot read"),
        ("model.width & 3", "cannot read"),
        ("'text'", "cannot read"),
        ("round(model.width, 2)", "round .* takes one value, got 2"),
        ("min(model.width)", "min .* takes two values or more, got 1"),
        ("1 + " * 100 + "1", "at most 200 characters, got 401"),
        ("(" * 150 + "1" + ")" * 40, "cannot read"),
    ],
)
def test_anything_else_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        settings_in(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model.width / 0", "has no value"),
        ("9 ** 9 ** 9", "has no value"),
        ("(0 - model.width) ** 0.5", "has no value"),
        ("model.width * 1e300", "has no value .*leaves the numbers"),
        ("model.kind * 2", "reads model.kind, expected a number, got 'paper'"),
        ("graph.positive * 2", "reads graph.positive, expected a number, got True"),
        ("graph.k * 2", "reads graph.k, expected a number, got None"),
    ],
)
def test_what_has_no_value_is_said_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        evaluate(text, VALUES)
    assert "\n" not in str(caught.value)
