import pytest
from pydantic import ValidationError

from sweeps.schema.dimension import Dimension


def test_a_range_ends_at_the_last_step_below_high() -> None:
    assert Dimension(type="int", low=5, high=62, step=5).last == 60
    assert Dimension(type="float", low=0, high=0.3, step=0.1).last == pytest.approx(0.3)


def test_the_samples_of_an_int_range_are_whole() -> None:
    samples = Dimension(type="int", low=5, high=60).samples()
    assert samples[0] == 5
    assert samples[-1] == 60
    assert all(type(one) is int for one in samples)


def test_a_stepped_range_holds_only_its_steps() -> None:
    steps = Dimension(type="int", low=5, high=60, step=5)
    assert steps.holds(30)
    assert not steps.holds(31)
    assert not steps.holds(65)
    assert not steps.holds(None)


def test_an_int_range_holds_no_fraction() -> None:
    assert not Dimension(type="int", low=1, high=4).holds(2.5)
    assert Dimension(type="float", low=1, high=4).holds(2.5)


def test_true_and_1_are_different_choices() -> None:
    assert not Dimension(type="choice", values=(1, 2)).holds(True)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"type": "int", "low": 60, "high": 5}, "low must not be above high"),
        ({"type": "float", "low": 0, "high": 5, "log": True}, "log needs low above 0"),
        ({"type": "float", "low": 0, "high": 1, "step": 2}, "step must not be above high - low"),
        ({"type": "float", "low": 1, "high": 9, "step": 2, "log": True}, "exclude each other"),
        ({"type": "int", "low": 0.5, "high": 9}, "needs a whole low"),
        ({"type": "int", "low": 1}, "needs low and high"),
        ({"type": "choice"}, "needs values"),
        ({"type": "choice", "values": [1, 1]}, "values must differ"),
        ({"type": "choice", "values": [1, 1.0]}, "values must differ, got 1 twice"),
        ({"type": "choice", "values": [1], "low": 0}, "low does not belong"),
        ({"type": "int", "low": 1, "high": 2, "values": [1]}, "values does not belong"),
    ],
)
def test_a_dimension_without_meaning_is_refused(settings: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        Dimension.model_validate(settings)
