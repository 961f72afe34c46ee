"""Facts of the shrunken base about genes: perturbed ones, quiet ones, noisy ones."""

from dataclasses import replace

import numpy as np
import pytest

from scdfm.metrics.baselines import MeasuredUnits
from scdfm.metrics.shrunken import Base, fit
from scdfm.metrics.shrunken.design import measured
from scdfm.metrics.shrunken.scale import additivity
from scdfm.screen.conditions import Condition

GENES = 60
TOKENS = tuple("ABCDEFGH")
CONDITIONS: list[Condition] = [
    *((token,) for token in TOKENS),
    *((TOKENS[k], TOKENS[(k + d) % 8]) for d in (1, 3) for k in range(8)),
]
NAMES = (*TOKENS[:6], *(f"g{k}" for k in range(6, GENES)))  # G and H are no measured genes
SCALE, RAISED, NOISE = 0.6, 2.0, 0.02
SPREAD = np.geomspace(0.1, 8, GENES) / np.geomspace(0.1, 8, GENES).mean()  # of noise, over genes
SIZES = np.where(np.arange(GENES) % 3 == 0, 3.0, 0.0)  # two thirds of the genes never change


def screen(*, seed: int, noise: float = NOISE) -> tuple[MeasuredUnits, np.ndarray]:
    """Scaled sums of effects, where each token raises its own gene whole; and the truth."""
    draw = np.random.default_rng(seed)
    effects = {token: draw.normal(scale=0.2, size=GENES) * SIZES for token in TOKENS}
    truth = np.stack(
        [sum(effects[t] for t in c) * (SCALE if len(c) > 1 else 1) for c in CONDITIONS]
    )
    for row, condition in enumerate(CONDITIONS):
        for token in {*condition} & {*NAMES}:
            truth[row, NAMES.index(token)] += RAISED
    units = len(CONDITIONS)
    control = np.full((units, GENES), 4.0)
    own = draw.normal(size=truth.shape) * np.sqrt(noise * SPREAD)
    return MeasuredUnits(
        contexts=("x",) * units,
        conditions=tuple(CONDITIONS),
        control=control,
        mean=control + truth + own,
        genes=NAMES,
        noise=np.full(units, 1.1 * noise),
        control_noise=np.full(units, 0.1 * noise),
        noise_by_gene=SPREAD,
    ), truth


def error(base: Base, truth: np.ndarray) -> float:
    made = base.delta(["x"] * len(CONDITIONS), CONDITIONS).delta
    return float(np.square(made - truth).mean())


def test_a_combination_changes_the_genes_that_it_perturbs_as_much_as_its_singles_do() -> None:
    training, _ = screen(seed=0)
    base = fit(training)
    [double] = base.delta(["x"], [("A", "B")]).delta
    np.testing.assert_allclose(double[:2], RAISED, atol=0.5)
    assert base.scale == pytest.approx(SCALE, abs=0.1)
    assert base.facts()["own genes"].startswith("6 tokens")
    # Taken for genes like others they are scaled, and so is the scale.
    [without] = fit(replace(training, genes=())).delta(["x"], [("A", "B")]).delta
    assert (without[:2] < 0.8 * RAISED).all()


def test_genes_apart_lie_nearer_to_the_truth() -> None:
    for seed in range(3):
        training, truth = screen(seed=seed, noise=0.2)
        usual = fit(replace(training, noise_by_gene=None))
        plain = fit(replace(training, noise_by_gene=None, genes=()))
        found = [error(fit(training), truth), error(usual, truth), error(plain, truth)]
        assert found[0] < 0.8 * found[1]
        assert found[1] < 0.8 * found[2]


def test_effects_are_posterior_means_of_their_own_gene() -> None:
    """Against covariances of conditions: of each gene, with its prior, its noise and its own."""
    training, _ = screen(seed=1, noise=0.2)
    base, known = fit(training), measured(training, apart=True)
    members = np.array([[t in c for t in base.tokens] for c in known.conditions], dtype=float)
    combined = members.sum(axis=1) > 1
    sums = members * np.where(combined, base.scale, 1.0)[:, None]
    mixing = base.nu * combined * (members @ base.tau)
    assert known.of_controls is not None
    shared = float(known.of_controls[0])
    rows, columns = known.own
    energy = np.square(known.delta[rows, columns]) - known.noise[rows] * SPREAD[columns]
    for gene in (0, 3, 5, 20, 40, GENES - 1):
        # The ratio is found from a gene's own effects: tau times it is their prior variance.
        options = 2.0 ** np.arange(-13, 14, 0.5)
        where = (columns == gene) @ (rows[:, None] == np.arange(len(known.conditions)))
        apart = energy.mean() / SPREAD[gene] * np.outer(where, where)
        both = []
        for ratio in options:
            cover = ratio * ((sums * base.tau) @ sums.T + np.diag(mixing)) + np.diag(
                known.own_noise
            )
            solved = np.linalg.solve(cover + shared + apart, known.delta[:, gene])
            both.append(ratio * base.tau * (sums.T @ solved))
            if np.allclose(both[-1], base.effects[:, gene], rtol=1e-6, atol=1e-9):
                own = apart @ solved
                expected = own[where > 0][:1].sum()
                assert base.own[:, [gene]].sum() == pytest.approx(expected)
                assert base.errors[0, gene] == pytest.approx(shared * solved.sum())
                break
        else:
            pytest.fail(f"gene {gene}: no ratio explains its effects")


def test_genes_that_no_perturbation_changes_are_shrunken_more() -> None:
    training, _ = screen(seed=2, noise=0.2)
    shown = np.square(fit(training).effects).mean(axis=0)
    usual = np.square(fit(replace(training, noise_by_gene=None)).effects).mean(axis=0)
    still = (SIZES == 0) & (np.arange(GENES) > 30)
    assert shown[still].mean() < 0.4 * usual[still].mean()


def test_a_base_keeps_its_own_genes_and_an_older_one_has_none() -> None:
    base = fit(screen(seed=3)[0])
    arrays = base.arrays()
    asked = ["x"] * 2, [("A", "B"), ("G", "new")]
    np.testing.assert_array_equal(
        Base.from_arrays(arrays).delta(*asked).delta, base.delta(*asked).delta
    )
    older = Base.from_arrays({name: arrays[name] for name in arrays if not name.startswith("own")})
    apart = base.delta(*asked).delta - older.delta(*asked).delta
    np.testing.assert_allclose(apart[0, :2], [base.own[0, 0], base.own[1, 1]])
    assert np.count_nonzero(apart) == 2


def test_a_gene_that_all_conditions_perturb_and_genes_without_noise_are_no_fault() -> None:
    units = MeasuredUnits(
        contexts=("x",) * 2,
        conditions=(("A",), ("A", "B")),
        control=np.ones((2, 3)),
        mean=np.array([[3.0, 1.0, 1.5], [3.0, 2.0, 1.2]]),
        genes=("A", "B", "C"),
        noise=np.full(2, 0.01),
        noise_by_gene=np.array([0.0, 1.0, 2.0]),
    )
    [double] = fit(units).delta(["x"], [("A", "B")]).delta
    assert np.isfinite(double).all()
    assert double[0] == pytest.approx(2, abs=0.1)
    # Each gene is perturbed itself: nothing is left to say how large effects are.
    alone = {"mean": units.mean[:, :1], "control": units.control[:, :1], "genes": ("A",)}
    assert np.isfinite(fit(replace(units, **alone, noise_by_gene=np.ones(1))).effects).all()


def test_shares_of_other_genes_or_below_0_are_refused() -> None:
    training, _ = screen(seed=4)
    with pytest.raises(ValueError, match="spread over 60 genes, at least 0, got shape"):
        replace(training, noise_by_gene=np.ones(3))
    with pytest.raises(ValueError, match="least -1"):
        replace(training, noise_by_gene=-np.ones(GENES))


def test_places_of_perturbed_genes_are_no_values_that_a_scale_leaves() -> None:
    training, _ = screen(seed=0, noise=0.2)
    known = measured(training, apart=True)
    found = additivity(known)
    row = {condition: place for place, condition in enumerate(known.conditions)}
    left = []
    for place in found.combinations:
        condition = known.conditions[place]
        total = sum(known.delta[row[(token,)]] for token in condition)
        elsewhere = ~np.isin(NAMES, condition)
        left.append(np.square(known.delta[place] - found.scale * total)[elsewhere])
    assert found.left == pytest.approx(np.concatenate(left).mean())


def test_a_base_without_genes_apart_says_nothing_of_them() -> None:
    training, _ = screen(seed=0)
    assert "own genes" not in fit(replace(training, genes=())).facts()
