"""Posterior means of effects: one solve for all genes whose effects are as large beside noise.

Z says which tokens a condition has (times the scale, for combinations), and N is its noise and
interaction. For a gene whose prior is w times and whose noise is v times that of an average one,

    P = 1 / (r tau) + Z^T N_r^-1 Z,    b = P^-1 Z^T N_r^-1 D,    N_r = noise + r * interaction

with r = w / v. Where the noise of the controls is known apart, each context's is one more effect,
that of all its conditions.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.linalg import solve
from scipy.sparse.csgraph import connected_components

from scdfm.metrics.baselines.units import Array

LEAST_NOISE = 1e-10  # so that a condition without noise can be weighted


@dataclass(frozen=True)
class System:
    """What the changes of training conditions are made of, for an average gene.

    Attributes:
        sums: How often a change holds each token's effect and each context's error,
            (conditions, tokens + errors).
        tau: Prior variance of the effects, (tokens,).
        of_controls: Prior variance of the errors, (errors,).
        noise: Of each condition, without that of its controls where these are apart, (conditions,).
        interaction: Variance of each condition's interaction, (conditions,).
    """

    sums: sp.csr_matrix
    tau: Array
    of_controls: Array
    noise: Array
    interaction: Array

    def precision(self, ratio: float = 1.0) -> sp.csr_matrix:
        """P of genes with a ratio, (tokens + errors, tokens + errors)."""
        prior = np.concatenate([ratio * self.tau, np.maximum(self.of_controls, LEAST_NOISE)])
        return sp.csr_matrix(self._weighted(ratio) @ self.sums + sp.diags_array(1 / prior))

    def effects(self, delta: Array, *, ratio: float) -> Array:
        """Effects and errors of genes with a ratio, (tokens + errors, genes).

        Args:
            delta: Changes of the conditions, (conditions, genes).
            ratio: Of effects to noise.
        """
        right = self._weighted(ratio) @ delta
        return _posterior(self.precision(ratio), right, tokens=len(self.tau))

    def apart(self, delta: Array, where: Array, *, ratio: float, prior: Array) -> tuple[Array, ...]:
        """The same where some conditions show one more effect of the last genes, and that effect.

        Args:
            delta: Changes of the conditions, (conditions, genes).
            where: 1 where one of the last genes has it, (conditions, last genes).
            ratio: Of effects to noise.
            prior: Variance of that effect over the noise share of its gene, (last genes,).

        Returns:
            Effects and errors (tokens + errors, genes), the effects apart (last genes,), and their
            variances over the noise shares of their genes (last genes,).
        """
        weighted, weight = self._weighted(ratio), self._weight(ratio)
        # One factor for all: it costs more than all that is solved with it.
        genes, first = delta.shape[1], delta.shape[1] - where.shape[1]
        solved = self.effects(np.hstack([delta, where]), ratio=ratio)
        found, shown = solved[:, :genes], solved[:, genes:]
        whole, last = found[:, first:], delta[:, first:]
        towards = weighted @ where
        # Generalised least squares, of what all other effects do not explain.
        explained = np.einsum("cg,c,cg->g", where, weight, last) - (towards * whole).sum(axis=0)
        known = np.einsum("cg,c,cg->g", where, weight, where) - (towards * shown).sum(axis=0)
        sure = np.maximum(known, 0) + 1 / prior
        apart = explained / sure
        return np.hstack([found[:, :first], whole - shown * apart]), apart, 1 / sure

    def _weight(self, ratio: float) -> Array:
        weight: Array = 1 / np.maximum(self.noise + ratio * self.interaction, LEAST_NOISE)
        return weight

    def _weighted(self, ratio: float) -> sp.csr_matrix:
        return sp.csr_matrix(self.sums.T @ sp.diags_array(self._weight(ratio)))


def _posterior(precision: sp.csr_matrix, right: Array, *, tokens: int) -> Array:
    """Effects of tokens, then of controls, (tokens + errors, genes).

    The controls link all tokens, so they are eliminated first: the rest stays in small groups.
    """
    inner, across = precision[:tokens, :tokens], precision[:tokens, tokens:]
    found = _solved(inner, np.hstack([right[:tokens], across.toarray()]))
    effects, through = found[:, : right.shape[1]], found[:, right.shape[1] :]
    left = precision[tokens:, tokens:].toarray() - across.T @ through
    errors: Array = np.linalg.solve(left, right[tokens:] - across.T @ effects)
    return np.vstack([effects - through @ errors, errors])


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
