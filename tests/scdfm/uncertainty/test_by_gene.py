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


def test_cells_that_do_not_vary_share_evenly() -> None:
    [found] = variance_by_gene(base(), [("A",)], cells=np.zeros((1, GENES)))
    assert np.ptp(found) == 0
    assert found[0] > 0
