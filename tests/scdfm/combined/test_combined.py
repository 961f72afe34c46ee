"""Facts about a base and the flow together, on cells in memory."""

from typing import Any

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray

from scdfm.flow.combined import (
    Calibrated,
    calibrate,
    evidence,
    finish,
    settled,
    weigh,
    weights_by_others,
)
from tests.scdfm.baselines.test_shrunken import oracle

CELLS, GENES = 40, 9


def cells(draw: Generator) -> dict[str, NDArray[Any]]:
    """Canonical cells with many zeros, where the flow takes them, and a base."""
    start = np.maximum(draw.normal(0.2, 1, size=(CELLS, GENES)), 0).astype(np.float32)
    end = (start + draw.normal(0.1, 0.5, size=(CELLS, GENES))).astype(np.float32)
    base = draw.normal(0, 0.4, size=GENES)
    return {"end": end, "start": start, "base": base, "control": start.mean(0, dtype=np.float64)}


def both(
    given: dict[str, Any], *, alpha: float, beta: float, clamp: bool = True
) -> tuple[NDArray[np.float32], Calibrated]:
    unit = calibrate(**given, alpha=alpha, beta=beta, clamp=clamp)
    return finish(given["end"], given["start"], unit, beta=beta, clamp=clamp), unit


def test_a_flow_that_is_the_base_but_for_rounding_has_no_weight() -> None:
    draw = np.random.default_rng(1)
    for units in (1, 2, 4, 8):
        base = draw.normal(0, 0.1, size=(units, GENES))
        flow = base.astype(np.float32).astype(np.float64) + draw.normal(0, 1e-7, base.shape)
        found = settled(flow, base=base)
        np.testing.assert_array_equal(found, base)
        real = base + draw.normal(0, 0.1, base.shape)
        assert weigh(evidence(real, base=base, flow=found)).flow == 0
    flow[0] += 1e-3
    flow[1, 0] = np.nan
    found = settled(flow, base=base)
    np.testing.assert_array_equal(found[:2], flow[:2])
    np.testing.assert_array_equal(found[2:], base[2:])


def test_with_all_controls_cells_are_those_of_the_reference() -> None:
    reference, draw = oracle(), np.random.default_rng(0)
    for alpha, beta in ((0, 0.25), (0.24, 0.25), (1, 1), (0.6, 0)):
        given = cells(draw)
        expected = reference.finish(
            given["end"].astype(np.float64),
            given["start"].astype(np.float64),
            given["base"],
            given["control"],
            alpha,
            beta,
        )
        made, _ = both(given, alpha=alpha, beta=beta)
        np.testing.assert_allclose(made, expected, atol=2e-6)


@pytest.mark.parametrize("clamp", [True, False])
def test_canonical_cells_change_by_what_is_wanted(clamp: bool) -> None:
    given = cells(np.random.default_rng(1))
    # Some of many controls: their own mean is not that of all.
    given["control"] = given["control"] + 0.3
    made, unit = both(given, alpha=0.3, beta=0.25, clamp=clamp)
    flow = (given["end"] - given["start"]).mean(0, dtype=np.float64)
    np.testing.assert_allclose(unit.change, given["base"] + 0.3 * (flow - given["base"]), atol=1e-7)
    wanted = given["start"].mean(0, dtype=np.float64) + unit.change
    assert (made.min() < 0) == (not clamp)
    np.testing.assert_allclose(made.mean(0), np.maximum(wanted, 0 if clamp else -9), atol=1e-6)


def test_alpha_0_is_the_base_and_alpha_1_shape_1_is_the_flow() -> None:
    given = cells(np.random.default_rng(2))
    _, base = both(given, alpha=0, beta=0.25)
    np.testing.assert_array_equal(base.change, given["base"])
    assert not base.noise.any()
    made, _ = both(given, alpha=1, beta=1, clamp=False)
    np.testing.assert_allclose(made, given["end"], atol=1e-6)


def test_cells_that_do_not_follow_their_starts_count_from_all_controls() -> None:
    draw = np.random.default_rng(3)
    given = cells(draw)
    given["end"] = draw.normal(1, 0.1, size=(CELLS, GENES)).astype(np.float32)
    given["control"] = given["control"] + 0.3
    made, unit = both(given, alpha=1, beta=1, clamp=False)
    np.testing.assert_allclose(unit.change, given["end"].mean(0) - given["control"], atol=1e-6)
    np.testing.assert_allclose(made, given["end"], atol=1e-6)


def test_each_gene_is_a_matter_of_its_own() -> None:
    given = cells(np.random.default_rng(4))
    some = np.array([2, 5, 6])
    whole, _ = both(given, alpha=0.5, beta=0.25)
    part, _ = both({name: one[..., some] for name, one in given.items()}, alpha=0.5, beta=0.25)
    np.testing.assert_array_equal(part, whole[:, some])


def test_the_weight_is_the_shrunken_regression_on_the_flow() -> None:
    draw = np.random.default_rng(5)
    base, apart = draw.normal(size=(6, GENES)), draw.normal(size=(6, GENES))
    real = base + 0.8 * apart + draw.normal(0, 0.1, size=(6, GENES))
    found = weigh(evidence(real, base=base, flow=base + apart))
    assert found.units == 6
    assert found.flow == pytest.approx(0.8 * 6 / 8, abs=0.05)
    assert found.interval is not None
    assert found.interval[0] < found.flow < found.interval[1]
    assert not found.guess
    assert not found.given


def test_a_weight_that_units_do_not_agree_on_is_smaller() -> None:
    base, apart = np.zeros((2, GENES)), np.ones((2, GENES))

    def weight(*shares: float) -> float:
        real = base + np.array(shares)[:, None] * apart
        return weigh(evidence(real, base=base, flow=base + apart)).flow

    # r = 0.6; leaving a unit out gives the other's share, so the spread is half of the difference.
    assert weight(0.6, 0.6) == pytest.approx(0.5 * 0.6)
    assert weight(0.4, 0.8) == pytest.approx(0.5 * 0.6 * (1 - (0.2 / 0.6) ** 2))
    assert weight(-0.1, 1.3) == 0
    assert str(weight(-0.4, -0.8)) == "0.0"


def test_the_weight_stays_between_base_and_flow() -> None:
    draw = np.random.default_rng(6)
    base, apart = draw.normal(size=(8, GENES)), draw.normal(size=(8, GENES))
    assert weigh(evidence(base - apart, base=base, flow=base + apart)).flow == 0
    assert weigh(evidence(base + 9 * apart, base=base, flow=base + apart)).flow == 1
    assert weigh(evidence(base + apart, base=base, flow=base)).flow == 0
    none = weigh(evidence(base[:0], base=base[:0], flow=base[:0]))
    assert (none.flow, none.units, none.interval) == (0, 0, None)
    broken = np.where(np.arange(8)[:, None] == 3, np.nan, base + apart)
    assert weigh(evidence(base + apart, base=base, flow=broken)).units == 7
    broken[3, 0] = np.inf
    assert weigh(evidence(base + apart, base=base, flow=broken)).units == 7


def test_a_unit_is_scored_with_the_weight_that_the_others_find() -> None:
    draw = np.random.default_rng(7)
    base, apart = draw.normal(size=(3, GENES)), draw.normal(size=(3, GENES))
    real = base + np.array([[0.9], [0.5], [0.6]]) * apart
    found = weights_by_others(evidence(real, base=base, flow=base + apart))
    for one in range(3):
        rest = np.arange(3) != one
        others = evidence(real[rest], base=base[rest], flow=(base + apart)[rest])
        assert found[one] == weigh(others).flow
    assert found[0] < found[1]


def test_a_single_unit_does_not_choose_the_weight_that_it_is_scored_with() -> None:
    base = np.ones((1, GENES))
    for real in (0.1 * base, 0.9 * base, -base):
        assert weights_by_others(evidence(real, base=base, flow=0 * base)) == [1 / 3]
