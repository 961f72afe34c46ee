"""Facts of a base's variance by gene."""

import numpy as np

from scdfm.metrics.baselines import MeasuredUnits
from scdfm.metrics.shrunken import Base, fit, variance_by_gene

GENES = 40
SINGLES, DOUBLES = ("A", "B", "C", "D"), (("A", "B"), ("A", "C"), ("B", "D"))


def base() -> Base:
    draw = np.random.default_rng(3)
    sizes = np.geomspace(0.01, 1, GENES)
    effects = {token: draw.normal(size=GENES) * sizes for token in SINGLES}
    conditions = tuple([(token,) for token in SINGLES] + [*DOUBLES])
    delta = np.stack([sum((effects[t] for t in one), np.zeros(GENES)) for one in conditions])
    control = np.full((len(conditions), GENES), 2.0)
    noise = np.full(len(conditions), 1e-3)
    return fit(
        MeasuredUnits(
            contexts=("x",) * len(conditions),
            conditions=conditions,
            control=control,
            mean=control + 0.8 * delta + draw.normal(0, 0.03, delta.shape),
            noise=noise,
            control_noise=noise / 10,
        )
    )


def test_the_mean_over_genes_is_the_variance_of_the_base() -> None:
    made, asked = base(), [("A",), ("C", "D"), ("A", "new"), ("new",), ("new", "newer")]
    cells = np.random.default_rng(0).gamma(2, 0.1, (len(asked), GENES))
    found = variance_by_gene(made, asked, cells=cells)
    np.testing.assert_allclose(found.mean(axis=1), made.variance(asked), rtol=1e-12)
    assert (found >= 0).all()


def test_a_measured_effect_is_unsure_as_cells_vary_and_a_new_one_as_effects_are_large() -> None:
    made = base()
    cells = np.tile(np.geomspace(2, 0.1, GENES), (2, 1))
    single, new = variance_by_gene(made, [("A",), ("new",)], cells=cells)
    np.testing.assert_allclose(single / single.mean(), cells[0] / cells[0].mean())
    # Effects grow along the genes here, and cells vary the other way.
    assert new[-10:].mean() > 10 * new[:10].mean()


def test_a_perturbed_gene_is_as_unsure_as_its_change_varies_between_conditions() -> None:
    draw = np.random.default_rng(5)
    tokens = [f"g{k}" for k in range(12)]
    names = tuple(f"g{k}" for k in range(GENES))
    effects = draw.normal(size=(12, GENES)) / 10
    conditions = [(t,) for t in tokens]
    conditions += [(tokens[a], tokens[b]) for a in range(12) for b in range(a + 1, 12)]
    conditions = [tuple(sorted(one)) for one in conditions]
    mean = np.full((len(conditions), GENES), 4.0) + draw.normal(0, 0.03, (len(conditions), GENES))
    for row, condition in enumerate(conditions):
        for token in condition:
            place = tokens.index(token)
            mean[row] += effects[place]
            mean[row, place] += 2 * (1 + 0.2 * draw.normal())
    doubles = np.arange(len(conditions)) >= 12
    held = np.flatnonzero(doubles)[::3]
    kept = np.setdiff1d(np.arange(len(conditions)), held)
    units = tuple(conditions[k] for k in kept)
    base = fit(
        MeasuredUnits(
            contexts=("x",) * len(kept),
            conditions=units,
            control=np.full((len(kept), GENES), 4.0),
            mean=mean[kept],
            genes=names,
            noise=np.full(len(kept), 1e-3),
        )
    )
    asked = [conditions[k] for k in held]
    error = mean[held] - 4 - base.delta(["x"] * len(held), asked).delta
    width = 1.645 * np.sqrt(variance_by_gene(base, asked, cells=np.ones_like(error)) + 1e-3)
    own = [(row, names.index(t)) for row, one in enumerate(asked) for t in one]
    inside = np.mean([abs(error[at]) < width[at] for at in own])
    assert 0.75 < inside < 0.99
    again = Base.from_arrays(base.arrays())
    np.testing.assert_array_equal(again.variance(asked), base.variance(asked))


def test_cells_that_do_not_vary_share_evenly() -> None:
    [found] = variance_by_gene(base(), [("A",)], cells=np.zeros((1, GENES)))
    assert np.ptp(found) == 0
    assert found[0] > 0
