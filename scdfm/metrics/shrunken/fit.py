"""From training units to the shrunken base, by moments and one solve."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import solve
from scipy.sparse.csgraph import connected_components

from scdfm.metrics.baselines.changes import Changes
from scdfm.metrics.baselines.units import Array, MeasuredUnits
from scdfm.metrics.shrunken.base import Base
from scdfm.metrics.shrunken.design import Measured, design, measured, several
from scdfm.metrics.shrunken.scale import FEWEST, Additivity, additivity

INTERACTION = 0.3  # nu where too few combinations can tell
LEAST_ENERGY = 1e-6  # of a condition: an effect that seems none may still be one
LEAST_NOISE = 1e-10  # so that a condition without noise can be weighted


def fit(training: MeasuredUnits) -> Base:
    """Fit effects of tokens to the changes of training units.

    Units are averaged over contexts first: weighting units by their noise was worse. Effects are
    posterior means, from the precision of the tokens,

        P = 1 / tau + Z^T N^-1 Z,    b = P^-1 Z^T N^-1 D,

    where Z says which tokens a condition has (times the scale, for combinations) and N is its
    noise and interaction. Where the noise of the controls is known apart, each context's is one
    more effect, that of all its conditions. Tokens that no chain of combinations links are solved
    apart, so memory is that of the linked tokens squared, whatever the number of conditions.

    Args:
        training: Units with their noise.

    Raises:
        ValueError: The noise of the units is not known.

    Source: SCIENCE.md, section 8.1.
    """
    if training.noise is None:
        raise ValueError(
            "the shrunken base needs the noise of its training units, got none; give "
            "MeasuredUnits(noise=...)"
        )
    known = measured(training)
    tokens = tuple(sorted({token for condition in known.conditions for token in condition}))
    members, combined = design(known.conditions, tokens=tokens), several(known.conditions)
    found = additivity(known)
    tau = _tau(known, members, combined=combined)
    nu = interaction(known, found, tau=members[found.combinations] @ tau)
    spread = known.own_noise + nu * combined * (members @ tau)
    weight = 1 / np.maximum(spread, LEAST_NOISE)
    scaled = sp.diags_array(np.where(combined, found.scale, 1.0)) @ members
    prior = tau
    if known.of_controls is not None:
        scaled = sp.hstack([scaled, known.shares])
        prior = np.concatenate([tau, np.maximum(known.of_controls, LEAST_NOISE)])
    weighted = sp.csr_matrix(scaled.T @ sp.diags_array(weight))
    precision = sp.csr_matrix(weighted @ scaled + sp.diags_array(1 / prior))
    effects, errors = _posterior(precision, weighted @ known.delta, tokens=len(tokens))
    changes = Changes(training)
    return Base(
        tokens=tokens,
        effects=effects,
        errors=errors,
        tau=tau,
        precision=precision,
        scale=found.scale,
        nu=nu,
        combinations=len(found.combinations),
        noise=float(known.noise.mean()),
        contexts=known.contexts,
        fallback=np.stack([changes.average(context) for context in known.contexts]),
        overall=known.delta.mean(axis=0),
    )


def _tau(known: Measured, members: sp.csr_matrix, *, combined: NDArray[np.bool_]) -> Array:
    """Prior variance of each token: mean square of its change alone, less noise, (tokens,).

    Of a token never measured alone: that of the combinations that it is in.
    """
    square = np.einsum("cg,cg->c", known.delta, known.delta) / known.delta.shape[1]
    energy = np.maximum(square - known.noise, LEAST_ENERGY)
    alone, among = (members.T @ (rows * energy) for rows in (~combined, combined))
    singles, combinations = (members.T @ rows.astype(float) for rows in (~combined, combined))
    tau: Array = np.where(singles > 0, alone, among) / np.where(singles > 0, singles, combinations)
    return tau


def interaction(known: Measured, found: Additivity, *, tau: Array) -> float:
    """nu: what the scale leaves of combinations beyond noise, over the sum of their tau.

    Args:
        known: Training conditions.
        found: How combinations add up.
        tau: Sum of those of each of these combinations' tokens, (combinations,).
    """
    if len(found.combinations) < FEWEST:
        return INTERACTION
    noise = known.noise[found.combinations].mean() + found.scale**2 * found.of_singles
    return max(found.left - float(noise), 0.0) / float(tau.mean())


def _posterior(precision: sp.csr_matrix, right: Array, *, tokens: int) -> tuple[Array, Array]:
    """Effects of tokens (tokens, genes) and of controls (contexts or 0, genes).

    The controls link all tokens, so they are eliminated first: the rest stays in small groups.
    """
    inner, across = precision[:tokens, :tokens], precision[:tokens, tokens:]
    found = _solved(inner, np.hstack([right[:tokens], across.toarray()]))
    effects, through = found[:, : right.shape[1]], found[:, right.shape[1] :]
    left = precision[tokens:, tokens:].toarray() - across.T @ through
    errors: Array = np.linalg.solve(left, right[tokens:] - across.T @ effects)
    return effects - through @ errors, errors


def _solved(precision: sp.csr_matrix, right: Array) -> Array:
    """Solve for each group of linked tokens, (tokens, genes)."""
    effects: Array = right / precision.diagonal()[:, None]
    groups, of_token = connected_components(precision, directed=False)
    order = np.argsort(of_token, kind="stable")
    sizes = np.bincount(of_token, minlength=groups)
    for group in np.split(order, np.cumsum(sizes)[:-1]):
        # A token that is in no combination is its own row, and solved above.
        if len(group) > 1:
            linked = precision[group][:, group].toarray()
            effects[group] = solve(linked, right[group], assume_a="pos", overwrite_a=True)
    return effects
