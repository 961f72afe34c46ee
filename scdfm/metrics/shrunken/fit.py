"""From training units to the shrunken base, by moments and one solve for each kind of gene."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdfm.metrics.baselines.changes import Changes
from scdfm.metrics.baselines.units import Array, MeasuredUnits
from scdfm.metrics.shrunken.base import Base
from scdfm.metrics.shrunken.design import Measured, design, measured, several
from scdfm.metrics.shrunken.posterior import System
from scdfm.metrics.shrunken.ratio import rounded, shares_of_effects, shares_of_noise
from scdfm.metrics.shrunken.scale import FEWEST, Additivity, additivity

INTERACTION = 0.3  # nu where too few combinations can tell
LEAST_ENERGY = 1e-6  # of a condition: an effect that seems none may still be one


def fit(training: MeasuredUnits) -> Base:
    """Fit effects of tokens to the changes of training units.

    Units are averaged over contexts first: weighting units by their noise was worse. Effects are
    posterior means (`scdfm.metrics.shrunken.posterior`). Where it is known how noise is spread over
    genes, each gene has the ratio of effects to noise that all conditions show of it. The gene that
    a token is itself counts apart. Tokens that no chain of combinations links are solved apart, so
    memory is that of the linked tokens squared, whatever the number of conditions.

    Args:
        training: Units with their noise.

    Raises:
        ValueError: The noise of the units is not known.

    Source: SCIENCE.md, section 8.1; genes apart: CHANGELOG.md.
    """
    if training.noise is None:
        raise ValueError(
            "the shrunken base needs the noise of its training units, got none; give "
            "MeasuredUnits(noise=...)"
        )
    known = measured(training, apart=True)
    tokens = tuple(sorted({token for condition in known.conditions for token in condition}))
    members, combined = design(known.conditions, tokens=tokens), several(known.conditions)
    found = additivity(known)
    tau = _tau(known, members, combined=combined)
    nu = interaction(known, found, tau=members[found.combinations] @ tau)
    sums = sp.csr_matrix(sp.diags_array(np.where(combined, found.scale, 1.0)) @ members)
    mixing = nu * combined * (members @ tau)
    noise = shares_of_noise(training.noise_by_gene, genes=len(known.delta.T))
    ratio = np.ones_like(noise)
    if training.noise_by_gene is not None:
        expected = np.maximum(sums.multiply(sums) @ tau + mixing, LEAST_ENERGY)
        ratio = rounded(shares_of_effects(known, expected=expected, noise=noise) / noise)
    of_controls = np.zeros(0) if known.of_controls is None else known.of_controls
    if known.of_controls is not None:
        sums = sp.hstack([sums, known.shares], format="csr")
    system = System(sums, tau, of_controls, known.own_noise, mixing)
    effects, own, unsure = _effects(system, known, ratio=ratio, noise=noise)
    unsure += _scatter(known, system.sums @ effects + own, own=own, noise=noise) * np.square(own)
    changes = Changes(training)
    return Base(
        tokens=tokens,
        effects=effects[: len(tokens)],
        own=_of_tokens(own, known, tokens=tokens, genes=training.genes),
        own_variance=_of_tokens(unsure, known, tokens=tokens, genes=training.genes),
        errors=effects[len(tokens) :],
        tau=tau,
        precision=system.precision(),
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
    conditions, genes = known.delta.shape
    square = np.einsum("cg,cg->c", known.delta, known.delta)
    rows, columns = known.own
    square -= np.bincount(rows, np.square(known.delta[rows, columns]), minlength=conditions)
    square /= np.maximum(genes - np.bincount(rows, minlength=conditions), 1)
    energy = np.maximum(square - known.noise, LEAST_ENERGY)
    alone, among = (members.T @ (rows * energy) for rows in (~combined, combined))
    singles, combinations = (members.T @ rows.astype(float) for rows in (~combined, combined))
    tau: Array = np.where(singles > 0, alone, among) / np.where(singles > 0, singles, combinations)
    return tau


def _effects(system: System, known: Measured, *, ratio: Array, noise: Array) -> tuple[Array, ...]:
    """Effects and errors (tokens + errors, genes); own changes and their variances (genes,)."""
    rows, columns = known.own
    where = np.zeros_like(known.delta, dtype=bool)
    where[rows, columns] = True
    energy = np.square(known.delta[rows, columns]) - known.noise[rows] * noise[columns]
    prior = max(float(energy.mean()), LEAST_ENERGY) if len(rows) else LEAST_ENERGY
    found = np.empty((system.sums.shape[1], len(noise)))
    own, variance = np.zeros_like(noise), np.zeros_like(noise)
    perturbed = where.any(axis=0)
    for level in np.unique(ratio):
        plain = np.flatnonzero((ratio == level) & ~perturbed)
        some = np.flatnonzero((ratio == level) & perturbed)
        both = np.concatenate([plain, some])
        found[:, both], own[some], variance[some] = system.apart(
            known.delta[:, both],
            where[:, some].astype(float),
            ratio=level,
            prior=prior / noise[some],
        )
    return found, own, variance * noise


def _scatter(known: Measured, made: Array, *, own: Array, noise: Array) -> float:
    """How much own changes vary between the conditions that show them, over their squares.

    Of genes that several conditions perturb: variance between them beyond noise. Where there are
    none, nothing is known of it, and it counts as none.

    Args:
        known: Training conditions.
        made: Their changes with what perturbed genes show apart, (conditions, genes).
        own: What perturbed genes show apart, (genes,).
        noise: v of each gene, (genes,).
    """
    times = np.bincount(known.own.columns, minlength=len(own))
    some = times[known.own.columns] > 1
    rows, columns = known.own.rows[some], known.own.columns[some]
    # What is left is smaller by one mean for each gene.
    left = np.square(known.delta[rows, columns] - made[rows, columns])
    left *= times[columns] / (times[columns] - 1)
    beyond = float((left - known.noise[rows] * noise[columns]).sum())
    square = float(np.square(own[columns]).sum())
    return max(beyond, 0.0) / square if square > 0 else 0.0


def _of_tokens(
    own: Array, known: Measured, *, tokens: tuple[str, ...], genes: tuple[str, ...]
) -> sp.csr_matrix:
    """What tokens change of the genes that they are, (tokens, genes)."""
    columns, place = np.unique(known.own.columns), {token: row for row, token in enumerate(tokens)}
    rows = [place[genes[column]] for column in columns]
    return sp.csr_matrix((own[columns], (rows, columns)), shape=(len(tokens), len(own)))


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
