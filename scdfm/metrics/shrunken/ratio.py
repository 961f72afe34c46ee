"""How genes differ: in how large effects are in them, and how much their means vary by chance.

A gene of which all perturbations change little is likely to be changed little by one more, and a
gene that varies between cells is known less well. So a gene has a prior variance of w times, and a
noise of v times what an average gene has, for all tokens and conditions alike. Then its effects
follow from the ratio w / v alone.
"""

import numpy as np

from scdfm.metrics.baselines.units import Array
from scdfm.metrics.shrunken.design import Measured

USUAL = 3  # conditions that an average gene counts as: moments of a few are 0 by chance
_LEAST = 1e-3  # of the mean noise: genes that are hardly ever seen
_STEP = 2**0.5  # ratios are rounded to powers of it: off by a fifth at most
_LIMIT = 1e4


def shares_of_noise(by_gene: Array | None, *, genes: int) -> Array:
    """The v of each gene, with a mean of 1, (genes,); 1 where it is not known."""
    if by_gene is None or not by_gene.any():
        return np.ones(genes)
    shares = np.maximum(by_gene / by_gene.mean(), _LEAST)
    noise: Array = shares / shares.mean()
    return noise


def shares_of_effects(known: Measured, *, expected: Array, noise: Array) -> Array:
    """The w of each gene, with a mean of 1, (genes,), by moments.

    A change's square is w times what is expected of the condition, plus noise. Its own variance
    grows as the square of both, hence the weights. Genes that a condition perturbs are left out.

    Args:
        known: Training conditions.
        expected: Mean square over genes of each condition's change, without noise, (conditions,).
        noise: v of each gene, (genes,).
    """
    weight = expected / np.square(expected + known.noise)
    square = np.zeros(known.delta.shape[1])
    each = weight * expected
    seen = np.full_like(square, each.sum())
    for row, delta in enumerate(known.delta):
        square += weight[row] * (np.square(delta) - known.noise[row] * noise)
    rows, columns = known.own
    own = np.square(known.delta[rows, columns]) - known.noise[rows] * noise[columns]
    np.subtract.at(square, columns, weight[rows] * own)
    np.subtract.at(seen, columns, each[rows])
    # A gene that every condition perturbs tells nothing.
    shares = np.maximum(square, 0) / np.where(seen > 1e-9 * each.sum(), seen, np.inf)
    if not shares.any():
        return np.ones_like(shares)
    usual = USUAL / (USUAL + len(known.conditions))
    mixed: Array = (1 - usual) * shares / shares.mean() + usual
    return mixed


def rounded(ratio: Array) -> Array:
    """Ratios on a coarse scale, so that the genes of one ratio are solved together, (genes,)."""
    steps = np.round(np.log(np.clip(ratio, 1 / _LIMIT, _LIMIT)) / np.log(_STEP))
    levels: Array = _STEP**steps
    return levels
