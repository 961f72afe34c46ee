"""Facts about the plain additive base."""

import numpy as np

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
    np.testing.assert_allclose(base.variance([("A",), ("A", "B")]), [0.1, 0.2])
