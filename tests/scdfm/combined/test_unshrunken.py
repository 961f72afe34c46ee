"""Facts about the plain additive base."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from scdfm.metrics.baselines import MeasuredUnits, Units
from scdfm.metrics.baselines.additive import additive
from scdfm.metrics.shrunken import Base, unshrunken

GENES = 5


def test_the_plain_base_says_what_the_baseline_additive_says() -> None:
    draw = np.random.default_rng(0)
    conditions = (("A",), ("B",), ("A", "B"), ("C", "D"))
    training = MeasuredUnits(
        contexts=("one",) * 4,
        conditions=conditions,
        control=np.tile(draw.normal(size=GENES), (4, 1)),
        mean=draw.normal(size=(4, GENES)),
        noise=np.full(4, 0.1),
    )
    asked = Units(("one", "one"), (("A",), ("A", "B")), training.control[:2])
    base = Base.from_arrays(unshrunken(training).arrays())
    found = base.delta(asked.contexts, asked.conditions)
    np.testing.assert_allclose(found.delta, additive(training, asked).mean - asked.control)
    assert not found.incomplete.any()
    # C was never measured alone: it counts as the mean change of the context.
    unseen = base.delta(["one"], [("C",)])
    np.testing.assert_allclose(unseen.delta[0], training.delta.mean(axis=0))
    assert unseen.incomplete.all()
    np.testing.assert_allclose(base.variances([("A",), ("A", "B")]).known, [0.1, 0.2])


def test_without_a_single_there_is_nothing_to_add_up() -> None:
    cells = np.ones((1, GENES))
    training = MeasuredUnits(("one",), (("A", "B"),), cells, cells, noise=np.ones(1))
    with pytest.raises(ValueError, match="training has none alone"):
        unshrunken(training)


@pytest.mark.parametrize("interaction", [0.0, 0.3, 1.0])
def test_it_is_as_unsure_of_combinations_as_they_differ_from_sums(interaction: float) -> None:
    draw = np.random.default_rng(3)
    tokens, genes, noise = [f"T{k:02}" for k in range(16)], 200, 1e-3
    effects = draw.normal(size=(len(tokens), genes))
    pairs = list(combinations(range(len(tokens)), 2))
    draw.shuffle(pairs)

    def truth(pair: tuple[int, int]) -> NDArray[np.float64]:
        spread = np.sqrt(interaction * 2)
        return effects[[*pair]].sum(axis=0) + draw.normal(0, spread, genes)

    def named(pair: tuple[int, int]) -> tuple[str, ...]:
        return tuple(tokens[k] for k in pair)

    train, held = pairs[:60], pairs[60:]
    conditions = [(one,) for one in tokens] + [named(pair) for pair in train]
    real = np.stack([*effects, *(truth(pair) for pair in train)])
    training = MeasuredUnits(
        contexts=("one",) * len(real),
        conditions=tuple(conditions),
        control=np.zeros_like(real),
        mean=real + draw.normal(0, np.sqrt(noise), real.shape),
        noise=np.full(len(real), noise),
    )
    base = unshrunken(training)
    assert base.combinations == 60
    assert base.nu == pytest.approx(interaction, rel=0.15, abs=0.01)
    # The mean knows nothing of it: it is the plain sum.
    asked = [named(pair) for pair in held]
    delta = base.delta(["one"] * len(asked), asked).delta
    singles = training.delta[: len(tokens)]
    np.testing.assert_allclose(delta, [singles[[*pair]].sum(axis=0) for pair in held])
    error = np.square(delta - np.stack([truth(pair) for pair in held])).mean()
    assert base.variance(asked).mean() == pytest.approx(error, rel=0.2, abs=2e-3)
    assert base.facts()["scale"].endswith("(assumed)")
