"""Intervals hold the truth about as often as they say, and halves share no cell."""

from typing import NamedTuple

import numpy as np
import pytest

from scdfm.metrics import Pseudobulks
from scdfm.metrics.errors import mse
from scdfm.metrics.noise import Draws, drawn_means, fixed_enough, half_means, interval
from scdfm.metrics.noise.intervals import by_condition

GENES, CELLS, CONTROLS, SPREAD = 20, 40, 100, 0.5
OURS, THEIRS = 0.15, 0.25  # standard deviation of the error of two predictions


class Screen(NamedTuple):
    """A simulated test part, and two predictions whose expected errors are known."""

    controls: np.ndarray
    cells: list[np.ndarray]
    ours: Pseudobulks
    theirs: Pseudobulks


def screen(generator: np.random.Generator, *, errors: np.ndarray) -> Screen:
    """Cells around conditions with changes of their own; `errors` (2, conditions, genes)."""
    conditions = errors.shape[1]
    delta = generator.normal(0, 0.3, (conditions, GENES))
    controls = generator.normal(1, SPREAD, (CONTROLS, GENES)).astype(np.float32)
    cells = [generator.normal(1 + d, SPREAD, (CELLS, GENES)).astype(np.float32) for d in delta]
    rest = np.tile(controls.mean(axis=0, dtype=float), (conditions, 1))
    units = Pseudobulks(
        contexts=("all",) * conditions,
        conditions=tuple(map(str, range(conditions))),
        genes=tuple(map(str, range(GENES))),
        predicted=rest,
        real=np.stack([one.mean(axis=0, dtype=float) for one in cells]),
        control=rest,
    )
    ours, theirs = (
        Pseudobulks(**{**units.__dict__, "predicted": rest + delta + error}) for error in errors
    )
    return Screen(controls, cells, ours, theirs)


def draw_again(some: Screen, generator: np.random.Generator) -> Draws:
    real, draws = None, 25
    if fixed_enough(len(some.cells)):
        draws = 200
        real = tuple(drawn_means(one, draws=draws, generator=generator) for one in some.cells)
    return Draws({"all": drawn_means(some.controls, draws=draws, generator=generator)}, real)


@pytest.mark.parametrize("conditions", [1, 8, 30])
def test_an_interval_holds_the_truth_in_90_to_99_of_100_screens(conditions: int) -> None:
    generator = np.random.default_rng(0)
    sampling = SPREAD**2 * (1 / CELLS + 1 / CONTROLS)
    fixed = generator.normal(size=(2, conditions, GENES)) * np.array([OURS, THEIRS])[:, None, None]
    hits = np.zeros(2)
    for _ in range(200):
        # With few conditions the question is about these, else about all that might be tested.
        errors = fixed
        if not fixed_enough(conditions):
            errors = generator.normal(size=fixed.shape) * np.array([OURS, THEIRS])[:, None, None]
        some = screen(generator, errors=errors)
        draws = draw_again(some, generator)
        each = [mse(some.ours), mse(some.theirs)]
        drawn = [np.stack([mse(u) for u in draws.of(one)]) for one in (some.ours, some.theirs)]
        squares = np.square(fixed).mean(axis=(1, 2)) if errors is fixed else (OURS**2, THEIRS**2)
        names = some.ours.conditions
        found = [
            (interval(each[0], names, drawn=drawn[0]), squares[0] + sampling),
            (
                interval(each[0] - each[1], names, drawn=drawn[0] - drawn[1]),
                squares[0] - squares[1],
            ),
        ]
        hits += [one is not None and one.low <= truth <= one.high for one, truth in found]
    assert (hits / 200 >= 0.9).all(), hits
    assert (hits / 200 <= 0.99).all(), hits


def test_few_conditions_without_drawn_cells_have_no_interval() -> None:
    few = np.array([0.1, 0.2])
    assert interval(few, ["A", "B"], drawn=None) is None
    many = interval(np.arange(9.0), list("ABCDEFGHI"), drawn=None)
    assert many is not None
    assert many.low < 4 < many.high
    assert not many.holds_zero


def test_undefined_units_are_left_out_of_intervals() -> None:
    values = np.array([*np.arange(9.0), np.nan])
    found = interval(values, list("ABCDEFGHIJ"), drawn=None)
    assert found is not None
    assert found.low < 4 < found.high
    nothing = np.full(10, np.nan)
    assert interval(nothing, list("ABCDEFGHIJ"), drawn=None) is None


def test_an_interval_of_steps_holds_its_estimate_or_is_not_known() -> None:
    names = list("ABCD")
    values = np.array([1.0, 1.0, 1.0, 0.5])
    rare, often = np.tile(values, (2, 200, 1))
    rare[:2, 3] = 1.0  # a rank that changes in 1 % of the draws
    often[:100, 3] = 1.0
    assert interval(values, names, drawn=rare) is None
    assert interval(values - 0.75, names, drawn=rare - 0.75) is None
    known = interval(values, names, drawn=often)
    assert known is not None
    assert known.low < known.high
    one_sided = np.tile(values, (200, 1))
    one_sided[:4, 3] = -9.0  # in too few draws for an end, but they move the mean
    one_sided[4:100, 2] += 1e-3
    held = interval(values, names, drawn=one_sided)
    assert held is not None
    assert held.low <= float(np.mean(values)) <= held.high
    assert interval(np.ones(9), list("ABCDEFGHI"), drawn=None) is None


def test_units_are_averaged_within_a_condition_first() -> None:
    values = np.array([[1.0, 3.0, 7.0], [np.nan, 4.0, np.nan]])
    np.testing.assert_array_equal(by_condition(values, ["A", "A", "B"]), [[2, 7], [4, np.nan]])


def test_halves_share_no_cell_and_leave_at_most_one_out() -> None:
    cells = np.eye(7, dtype=np.float32)
    first, second = half_means(cells, halvings=20, generator=np.random.default_rng(0))
    assert np.unique(np.rint(3 * first + 3 * second).sum(axis=1)).tolist() == [6]
    assert (first * second == 0).all()
    assert len(np.unique(first, axis=0)) > 1


def test_a_single_cell_has_no_halves() -> None:
    first, second = half_means(np.ones((1, 4)), halvings=3, generator=np.random.default_rng(0))
    assert np.isnan(first).all()
    assert np.isnan(second).all()
