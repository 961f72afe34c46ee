"""Facts of what training units read in a base channel: nothing of their own cells."""

from dataclasses import replace

import numpy as np
import pytest

from cluster.work.channel import make_channel
from scdfm.metrics.baselines import MeasuredUnits
from scdfm.metrics.shrunken import Base, fit

CONDITIONS = (("A",), ("B",), ("C",), ("A", "B"), ("A", "C"))


def known(*, contexts: tuple[str, ...] = ("x", "y")) -> MeasuredUnits:
    draw = np.random.default_rng(1)
    effects = {token: draw.normal(size=6) for token in "ABC"}
    units = [(context, condition) for context in contexts for condition in CONDITIONS]
    change = [sum(effects[t] for t in condition) for _, condition in units]
    return MeasuredUnits(
        contexts=tuple(context for context, _ in units),
        conditions=tuple(condition for _, condition in units),
        control=np.ones((len(units), 6)),
        mean=1 + np.array(change) + draw.normal(size=(len(units), 6)) / 10,
        noise=np.full(len(units), 0.01),
    )


@pytest.mark.parametrize("by_context", [False, True], ids=["conditions", "contexts"])
def test_a_unit_reads_nothing_of_its_own_condition_or_context(by_context: bool) -> None:
    units = known()
    mean, changed = units.mean.copy(), 3  # A+B in context x
    mean[changed] += 100.0
    before, after = (
        make_channel(one, positions=range(10), seed=0, by_context=by_context)
        for one in (units, replace(units, mean=mean))
    )
    own = [
        k
        for k in range(10)
        if (
            units.contexts[k] == units.contexts[changed]
            if by_context
            else units.conditions[k] == units.conditions[changed]
        )
    ]
    for unit in range(10):
        same = bool((before.units[unit] == after.units[unit]).all())
        assert same == (unit in own), unit


def test_a_double_reads_nearly_the_sum_of_its_singles() -> None:
    units = known()
    channel = make_channel(units, positions=range(10), seed=0, by_context=False)
    for unit in (3, 4, 8, 9):
        read, real = channel.units[unit].numpy(), units.delta[unit]
        assert np.square(read - real).mean() < 0.2 * np.square(real).mean()


def test_the_model_keeps_the_base_of_all_training_units() -> None:
    units = known()
    channel = make_channel(units, positions=range(10), seed=0, by_context=False)
    arrays = {k.removeprefix("base_channel."): v.numpy() for k, v in channel.given.items()}
    np.testing.assert_array_equal(Base.from_arrays(arrays).effects, fit(units).effects)


def test_a_single_condition_reads_that_nothing_is_known() -> None:
    one = known(contexts=("x",))
    alone = MeasuredUnits(
        contexts=one.contexts[:1],
        conditions=one.conditions[:1],
        control=one.control[:1],
        mean=one.mean[:1],
        noise=np.full(1, 0.01),
    )
    channel = make_channel(alone, positions=[7], seed=0, by_context=True)
    assert not channel.units[7].any()
