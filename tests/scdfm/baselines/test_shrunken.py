"""Facts about the shrunken base: the oracle's numbers, units never seen, one file and back."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.random import Generator

from scdfm.metrics.baselines import MeasuredUnits
from scdfm.metrics.shrunken import Base, fit
from scdfm.metrics.shrunken.design import measured
from scdfm.screen.conditions import Condition

GENES = 7
TOKENS = tuple("ABCDEFGHIJ")
SINGLES: list[Condition] = [(token,) for token in TOKENS]
DOUBLES: list[Condition] = [(TOKENS[k], TOKENS[k + d]) for d in (1, 3) for k in range(7)]


def oracle() -> ModuleType:
    folder = os.environ.get("SCDFM_DATA", "")
    path = Path(folder).parent / "reference" / "shrunken.py"
    if not folder or not path.is_file():
        pytest.skip("needs the reference beside the real data: set SCDFM_DATA to their folder")
    spec = importlib.util.spec_from_file_location("oracle_of_shrunken", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def screen(
    conditions: list[Condition], draw: Generator, *, contexts: int = 1, noise: float = 0.02
) -> MeasuredUnits:
    """Additive effects at scale 0.7 with noise, each condition in every context."""
    effects = {token: draw.normal(size=GENES) for token in TOKENS}
    delta = np.stack(
        [sum(effects[t] for t in c) * (0.7 if len(c) > 1 else 1.0) for c in conditions]
    )
    each = np.repeat(delta, contexts, axis=0)
    control = draw.uniform(1, 2, size=each.shape)
    return MeasuredUnits(
        contexts=tuple(f"c{k}" for _ in conditions for k in range(contexts)),
        conditions=tuple(condition for condition in conditions for _ in range(contexts)),
        control=control,
        mean=control + each + draw.normal(scale=noise**0.5, size=each.shape),
        noise=noise * draw.uniform(0.5, 1.5, size=len(each)),
    )


@pytest.mark.parametrize(
    ("conditions", "contexts", "noise"),
    [
        pytest.param(SINGLES + DOUBLES, 1, 0.3, id="singles-and-doubles"),
        pytest.param(SINGLES + DOUBLES, 3, 0.3, id="three-contexts"),
        pytest.param(SINGLES[:6] + DOUBLES, 1, 0.3, id="tokens-only-in-doubles"),
        pytest.param(SINGLES[:3] + DOUBLES[:1], 1, 0.3, id="too-few-doubles"),
        pytest.param([*SINGLES, *DOUBLES, ("A", "C", "E")], 1, 0.3, id="a-triple"),
        pytest.param(SINGLES, 2, 0.3, id="singles-only"),
        pytest.param(DOUBLES, 1, 0.3, id="doubles-only"),
        pytest.param(SINGLES, 1, 0.0, id="no-noise"),
        pytest.param([("drug at 10 uM",), ("drug at 1 uM",)], 1, 0.3, id="drugs"),
        pytest.param([("A",)], 1, 0.3, id="one-condition"),
        pytest.param(SINGLES + DOUBLES, 1, 9.0, id="all-noise"),
    ],
)
def test_the_base_is_that_of_the_oracle(
    conditions: list[Condition], contexts: int, noise: float
) -> None:
    reference = oracle()
    for seed in range(3):
        draw = np.random.default_rng(seed)
        known = [one for one in conditions if not one[0].startswith("drug")]
        training = screen(known or SINGLES[: len(conditions)], draw, contexts=contexts, noise=noise)
        if not known:
            training = MeasuredUnits(
                training.contexts, tuple(conditions), training.control, training.mean, (),
                training.noise,
            )  # fmt: skip
        average = measured(training)
        effects, scale = reference.fit(average.delta, list(average.conditions), average.noise)
        base = fit(training)
        assert base.tokens == tuple(sorted(effects))
        assert base.scale == pytest.approx(scale)
        expected = np.stack([effects[token] for token in base.tokens])
        np.testing.assert_allclose(base.effects, expected, rtol=1e-6, atol=1e-9)


def test_units_are_averaged_over_contexts_and_their_noise_with_them() -> None:
    training = screen(SINGLES, np.random.default_rng(0), contexts=2)
    average = measured(training)
    assert training.noise is not None
    assert average.conditions == tuple(SINGLES)
    np.testing.assert_allclose(average.delta, training.delta.reshape(-1, 2, GENES).mean(axis=1))
    np.testing.assert_allclose(average.noise, training.noise.reshape(-1, 2).sum(axis=1) / 4)


def test_a_unit_is_the_scaled_sum_of_its_effects() -> None:
    base = fit(screen(SINGLES + DOUBLES, np.random.default_rng(1)))
    made = base.delta(["c0", "elsewhere"], [("A",), ("A", "J")])
    np.testing.assert_allclose(made.delta[0], base.effects[0])
    np.testing.assert_allclose(made.delta[1], base.scale * (base.effects[0] + base.effects[-1]))
    assert not made.incomplete.any()


def test_a_token_never_seen_counts_as_the_mean_change_of_the_context() -> None:
    training = screen(SINGLES, np.random.default_rng(2), contexts=2)
    base = fit(training)
    made = base.delta(["c1", "c9"], [("X",), ("X",)])
    own = training.delta[1::2].mean(axis=0)
    np.testing.assert_allclose(made.delta, [own, training.delta.mean(axis=0)])
    assert made.incomplete.all()
    assert base.variance([("X",)])[0] > base.variance([("A",)])[0]


def test_the_variance_is_that_of_the_conditions_covariance() -> None:
    training = screen(SINGLES + DOUBLES, np.random.default_rng(3), noise=0.3)
    base, known = fit(training), measured(training)
    members = np.array([[t in c for t in base.tokens] for c in known.conditions], dtype=float)
    combined = members.sum(axis=1) > 1
    interaction = base.nu * combined * (members @ base.tau)
    members[combined] *= base.scale
    shared = members * base.tau
    seen = shared @ members.T + np.diag(known.noise + interaction)
    posterior = np.diag(base.tau) - shared.T @ np.linalg.solve(seen, shared)
    asked = base.scale * np.isin(base.tokens, ["A", "J"])
    expected = asked @ posterior @ asked + base.nu * base.tau[[0, -1]].sum()
    np.testing.assert_allclose(base.variance([("A", "J")]), expected)


def test_a_base_is_whole_again_from_its_arrays() -> None:
    base = fit(screen(SINGLES + DOUBLES, np.random.default_rng(4), contexts=2))
    again = Base.from_arrays({name: value.copy() for name, value in base.arrays().items()})
    asked = ["c1", "c7"], [("A", "X"), ("B",)]
    np.testing.assert_array_equal(again.delta(*asked).delta, base.delta(*asked).delta)
    np.testing.assert_array_equal(again.variance(asked[1]), base.variance(asked[1]))
    assert again.facts() == base.facts()
    assert base.facts()["scale"].endswith("for combinations (from 14 combinations)")
    assert fit(screen(SINGLES, np.random.default_rng(4))).facts()["scale"].endswith("(assumed)")


def test_units_whose_noise_is_not_known_are_refused() -> None:
    training = screen(SINGLES, np.random.default_rng(5))
    bare = MeasuredUnits(training.contexts, training.conditions, training.control, training.mean)
    with pytest.raises(ValueError, match="needs the noise"):
        fit(bare)


def test_a_negative_noise_is_refused() -> None:
    one = np.ones((1, 2))
    with pytest.raises(ValueError, match="least -1"):
        MeasuredUnits(("c",), (("A",),), one, one, noise=np.array([-1.0]))
