"""Facts about the sampling error of controls, which all changes of a context share."""

from dataclasses import replace

import numpy as np
import pytest

from scdfm.metrics.baselines import MeasuredUnits
from scdfm.metrics.shrunken import Base, fit
from scdfm.metrics.shrunken.design import measured
from scdfm.screen.conditions import Condition

GENES, OWN = 400, 0.02  # OWN: noise of a condition, without that of its controls
TOKENS = tuple("ABCDEFGH")
CONDITIONS: list[Condition] = [
    *((token,) for token in TOKENS),
    *((TOKENS[k], TOKENS[k + 1]) for k in range(7)),
]


def screen(*, seed: int, error: float, contexts: int = 1) -> tuple[MeasuredUnits, np.ndarray]:
    """Additive changes against controls that are wrong by as much in all of them; the truth."""
    draw = np.random.default_rng(seed)
    effects = {token: draw.normal(scale=0.3, size=GENES) for token in TOKENS}
    truth = np.stack([sum(effects[t] for t in c) for c in CONDITIONS])
    wrong = draw.normal(scale=error**0.5, size=(contexts, GENES))
    units = [(row, place) for row in range(len(CONDITIONS)) for place in range(contexts)]
    control = np.stack([5 + wrong[place] for _, place in units])
    own = draw.normal(scale=OWN**0.5, size=(len(units), GENES))
    measured_units = MeasuredUnits(
        contexts=tuple(f"c{place}" for _, place in units),
        conditions=tuple(CONDITIONS[row] for row, _ in units),
        control=control,
        mean=np.stack([5 + truth[row] for row, _ in units]) + own,
        noise=np.full(len(units), OWN + error),
        control_noise=np.full(len(units), error),
    )
    return measured_units, truth


@pytest.mark.parametrize("contexts", [1, 2])
def test_effects_and_errors_are_posterior_means(contexts: int) -> None:
    training, _ = screen(seed=0, error=0.05, contexts=contexts)
    base, known = fit(training), measured(training)
    members = np.array([[t in c for t in base.tokens] for c in known.conditions], dtype=float)
    combined = members.sum(axis=1) > 1
    interaction = base.nu * combined * (members @ base.tau)
    members[combined] *= base.scale
    # Each condition is an average over all contexts, with a share of each one's error.
    shared = np.full((len(CONDITIONS), contexts), 0.05 / contexts)
    seen = members * base.tau @ members.T + np.diag(OWN / contexts + interaction)
    solved = np.linalg.solve(seen + 0.05 / contexts, known.delta)
    np.testing.assert_allclose(base.effects, base.tau[:, None] * (members.T @ solved))
    np.testing.assert_allclose(base.errors, shared.T @ solved)


def test_controls_that_are_few_cost_less_where_their_error_is_known_as_one() -> None:
    ratios = []
    for seed in range(3):
        training, truth = screen(seed=seed, error=0.05)
        wanted = 5 + truth
        costs = []
        for known in (training, replace(training, control_noise=None)):
            change = fit(known).delta(["c0"] * len(CONDITIONS), CONDITIONS).delta
            costs.append(np.square(training.control[: len(CONDITIONS)] + change - wanted).mean())
        ratios.append(costs[0] / costs[1])
    assert max(ratios) < 0.8


def test_an_error_is_of_its_own_controls_alone() -> None:
    base = fit(screen(seed=1, error=0.05, contexts=2)[0])
    own, elsewhere = base.delta(["c1", "new"], [("A",)] * 2).delta
    np.testing.assert_allclose(own - elsewhere, base.errors[1], atol=1e-12)
    np.testing.assert_allclose(elsewhere, base.effects[0])
    assert np.abs(base.errors).max() > 0.1


def test_exact_controls_have_no_error_and_a_base_has_its_errors_in_its_arrays() -> None:
    training, _ = screen(seed=2, error=0.05)
    exact = replace(training, noise=np.full(15, OWN), control_noise=np.zeros(15))
    plain = replace(exact, control_noise=None)
    asked = ["c0"] * 2, [("A",), ("A", "B")]
    found, expected = fit(exact).delta(*asked).delta, fit(plain).delta(*asked).delta
    np.testing.assert_allclose(found, expected, atol=1e-6)
    base = fit(training)
    again = Base.from_arrays(base.arrays())
    np.testing.assert_array_equal(again.delta(*asked).delta, base.delta(*asked).delta)
    np.testing.assert_array_equal(again.variance(asked[1]), base.variance(asked[1]))
