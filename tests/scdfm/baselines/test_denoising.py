"""The shrunken base lies nearer to the truth of a simulated screen than addition does."""

from functools import cache

import numpy as np
import pytest

from data_store.simulate import simulate
from data_store.simulate_options import SimulateOptions
from scdfm.metrics.baselines import MeasuredUnits, Units, all_baselines
from scdfm.screen.conditions import USUAL


@cache
def errors(seed: int) -> dict[str, float]:
    """Mean square error of each baseline for a third of the doubles, by the mean of their cells."""
    screen = simulate(SimulateOptions(cells=4_000, genes=150, singles=12, doubles=30, seed=seed))
    library = screen.obs["ncounts"].to_numpy(float)[:, None]
    expression = np.log1p(screen.X.toarray() / library * 1e4)
    written = screen.obs["condition"].astype(str).to_numpy()
    cells = {USUAL.parse(one): expression[written == one] for one in set(written)}
    noise = {one: float(some.var(axis=0, ddof=1).mean()) / len(some) for one, some in cells.items()}
    control = cells[()].mean(axis=0)
    doubles = sorted(one for one in cells if len(one) > 1)
    tested = doubles[::3]
    trained = sorted(one for one in cells if one and one not in tested)
    training = MeasuredUnits(
        ("line",) * len(trained),
        tuple(trained),
        np.tile(control, (len(trained), 1)),
        np.stack([cells[one].mean(axis=0) for one in trained]),
        noise=np.array([noise[one] + noise[()] for one in trained]),
    )
    test = Units(("line",) * len(tested), tuple(tested), np.tile(control, (len(tested), 1)))
    real = np.stack([cells[one].mean(axis=0) for one in tested])
    return {
        name: float(np.square(made.mean - real).mean())
        for name, made in all_baselines(training, test).items()
    }


SEEDS = (1, 2, 3, 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_shrinking_and_scaling_lie_nearer_to_the_truth_than_addition(seed: int) -> None:
    found = errors(seed)
    assert max(found["shrunken"], found["scaled"]) < found["additive"]


def test_shrinking_lies_nearer_than_scaling_alone_over_several_screens() -> None:
    apart = [errors(seed)["shrunken"] / errors(seed)["scaled"] for seed in SEEDS]
    assert np.median(apart) < 1
