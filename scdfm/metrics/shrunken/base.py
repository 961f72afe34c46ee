"""The fitted base: what it predicts for a unit, how sure it is, and its arrays in a file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from scdfm.metrics.baselines.units import Array
from scdfm.metrics.shrunken.design import design, several
from scdfm.metrics.shrunken.scale import FEWEST
from scdfm.screen.conditions import Condition

_UNITS_AT_ONCE = 256  # whose variance is solved for together
RULE = 1
"""How units become a base and a base becomes changes: raise it where either gives other values.

A base keeps the rule that it was fitted by, 0 where it is older than rules; it is never fitted
again. Rule 1: perturbed genes apart, a ratio of effects to noise for each gene, no drug a gene.
"""


class RuleError(ValueError):
    """A base was fitted by a rule that this version does not know."""


class Delta(NamedTuple):
    """Changes from control (units, genes), and the units (units,) with a token never seen."""

    delta: Array
    incomplete: NDArray[np.bool_]


class Variances(NamedTuple):
    """Posterior variances of units' changes, averaged over genes, (units,) each."""

    known: Array  # of the effects of tokens that were seen
    unseen: Array  # of tokens that were not
    interaction: Array  # of combinations
    own: Array  # of the changes of perturbed genes beside the effects


@dataclass(frozen=True)
class Base:
    """Shrunken effects of tokens; changes are in log1p expression.

    Attributes:
        tokens: Seen in training, sorted.
        effects: Posterior mean of each token's effect, (tokens, genes).
        own: What a token changes of the gene that it is itself, beside its effect, (tokens, genes);
            a combination shows it whole. Empty where no token is a gene.
        own_variance: Of that change: its posterior variance, and how it varies between conditions;
            where `own` has places, (tokens, genes).
        errors: What all changes of a context have in common since its controls are few: posterior
            mean of the sampling error of their mean, its sign turned, (contexts, genes); (0, genes)
            where the noise of controls is not known apart.
        tau: Prior variance of each effect, averaged over genes, (tokens,).
        precision: Of effects and errors, the inverse of their posterior covariance, of a gene with
            the average ratio of effects to noise, (tokens + errors, tokens + errors).
        scale: Of the sum of effects, for combinations.
        nu: Variance of a combination's interaction, over the sum of its tokens' tau.
        combinations: From how many combinations scale and nu are estimated; below 3 they are not,
            and a scale of the plain additive base is always 1.
        noise: Sampling variance of a condition's change, the mean over conditions and genes.
        contexts: Seen in training, sorted.
        fallback: Mean change of each context, for tokens never seen, (contexts, genes).
        overall: The same over all contexts, (genes,).
        rule: By which it was fitted, see `RULE`.
    """

    tokens: tuple[str, ...]
    effects: Array
    own: sp.csr_matrix
    own_variance: sp.csr_matrix
    errors: Array
    tau: Array
    precision: sp.csr_matrix
    scale: float
    nu: float
    combinations: int
    noise: float
    contexts: tuple[str, ...]
    fallback: Array
    overall: Array
    rule: int = RULE

    def delta(self, contexts: Sequence[str], conditions: Sequence[Condition]) -> Delta:
        """Changes of units: a single's effect, a combination's scaled sum of effects.

        The gene that a token is changes as much in a combination as it does alone.

        A token never seen counts as the mean change of the unit's own context, or over all
        contexts where it has none, and the unit is marked. The errors of a context's controls are
        in each of its changes, since that is what a real change against them shows.

        Args:
            contexts: Of each unit.
            conditions: Sorted tokens of each unit.
        """
        members = design(conditions, tokens=self.tokens)
        unseen = self._unseen(conditions, members)
        delta = members @ self.effects
        for row in np.flatnonzero(unseen).tolist():
            delta[row] += unseen[row] * self.change(contexts[row])
        delta *= self._scale(conditions)[:, None]
        own = sp.coo_matrix(members @ self.own)
        delta[own.row, own.col] += own.data
        for row, context in enumerate(contexts):
            # The mean change, which stands for an unseen token, holds the error already.
            if len(self.errors) and context in self.contexts and not unseen[row]:
                delta[row] += self.errors[self.contexts.index(context)]
        return Delta(delta, unseen > 0)

    def change(self, context: str) -> Array:
        """Mean change of a context's training units, or of all where it has none, (genes,)."""
        return (
            self.fallback[self.contexts.index(context)]
            if context in self.contexts
            else self.overall
        )

    def variance(self, conditions: Sequence[Condition]) -> Array:
        """Posterior variance of the changes of units not measured, averaged over genes, (units,).

        It holds what is not known of the effects, of perturbed genes' own changes, and of a
        combination its interaction. A token
        never seen counts with the mean variance of tokens.
        """
        total: Array = np.sum(self.variances(conditions), axis=0)
        return total

    def variances(self, conditions: Sequence[Condition]) -> "Variances":
        """The same by where it comes from."""
        members = design(conditions, tokens=self.tokens)
        unseen = self._unseen(conditions, members) * float(self.tau.mean())
        square = np.square(self._scale(conditions))
        return Variances(
            known=square * self._of_effects(members),
            unseen=square * unseen,
            interaction=self.nu * several(conditions) * (members @ self.tau + unseen),
            own=np.asarray((members @ self.own_variance).mean(axis=1)).ravel(),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as flat arrays, for a file."""
        names = json.dumps({"tokens": self.tokens, "contexts": self.contexts})
        triplets, own = self.precision.tocoo(), self.own.tocoo()
        return {
            "names": np.frombuffer(names.encode(), dtype=np.uint8).copy(),
            "effects": self.effects,
            "own": own.data,
            "own_variance": self.own_variance.tocoo().data,
            "own_places": np.stack([own.row, own.col]).astype(np.int64),
            "errors": self.errors,
            "tau": self.tau,
            "precision": triplets.data,
            "precision_places": np.stack([triplets.row, triplets.col]).astype(np.int64),
            "numbers": np.array([self.scale, self.nu, self.noise]),
            "combinations": np.array([self.combinations], dtype=np.int64),
            "fallback": self.fallback,
            "overall": self.overall,
            "rule": np.array([self.rule], dtype=np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The base that `arrays` gave; an older one had no genes apart, or no variance of them.

        Raises:
            RuleError: It was fitted by a newer version, whose changes may mean something else.
        """
        rule = int(arrays["rule"][0]) if "rule" in arrays else 0
        if rule > RULE:
            raise RuleError(
                f"its base was fitted by rule {rule}, and this version knows rules up to {RULE}; "
                "use the version of scdfm that made it, or a newer one"
            )
        names = json.loads(arrays["names"].tobytes())
        scale, nu, noise = (float(number) for number in arrays["numbers"])
        tokens = tuple(names["tokens"])
        places = tuple(arrays["precision_places"])
        size = len(arrays["effects"]) + len(arrays["errors"])
        own = arrays.get("own", np.zeros(0))
        own_places = tuple(arrays["own_places"]) if len(own) else ([], [])
        return cls(
            tokens=tokens,
            effects=arrays["effects"],
            own=sp.csr_matrix((own, own_places), shape=arrays["effects"].shape),
            own_variance=sp.csr_matrix(
                (arrays.get("own_variance", np.zeros_like(own)), own_places),
                shape=arrays["effects"].shape,
            ),
            errors=arrays["errors"],
            tau=arrays["tau"],
            precision=sp.csr_matrix((arrays["precision"], places), shape=(size, size)),
            scale=scale,
            nu=nu,
            combinations=int(arrays["combinations"][0]),
            noise=noise,
            contexts=tuple(names["contexts"]),
            fallback=arrays["fallback"],
            overall=arrays["overall"],
            rule=rule,
        )

    def facts(self) -> dict[str, str]:
        """What a reader wants to know of it, by name."""
        enough = self.combinations >= FEWEST
        told = f"from {self.combinations} combinations" if enough else "assumed"
        scaled = "assumed" if self.scale == 1 else told
        # None where no token is a gene of the model, or none counts apart.
        count = self.own.nnz
        whole = (
            "1 token is a gene of the model, and changes it whole"
            if count == 1
            else f"{count} tokens are genes of the model, and change them whole"
        )
        apart = {"own genes": whole} if count else {}
        return {
            "tokens": f"{len(self.tokens)}",
            "scale": f"{self.scale:.3g} of the sum of effects, for combinations ({scaled})",
            "interaction": f"{self.nu:.3g} of the variance of effects ({told})",
            **apart,
            "noise": f"{self.noise:.3g} per gene, of a condition's mean change",
            "rule": f"{self.rule}" if self.rule else f"older than {RULE}, the first with a number",
            "unseen tokens": f"mean change of the context, else of all {len(self.contexts)}",
        }

    def _scale(self, conditions: Sequence[Condition]) -> Array:
        return np.where(several(conditions), self.scale, 1.0)

    def _unseen(self, conditions: Sequence[Condition], members: sp.csr_matrix) -> NDArray[np.int64]:
        asked = np.array([len({*condition}) for condition in conditions], dtype=np.int64)
        unseen: NDArray[np.int64] = asked - np.diff(members.indptr)
        return unseen

    def _of_effects(self, members: sp.csr_matrix) -> Array:
        """Posterior variance of sums of effects, whatever the errors, (units,)."""
        solver = splu(sp.csc_matrix(self.precision))
        found = np.empty(members.shape[0])
        for first in range(0, len(found), _UNITS_AT_ONCE):
            some = members[first : first + _UNITS_AT_ONCE].toarray()
            padded = np.pad(some, ((0, 0), (0, len(self.errors))))
            found[first : first + len(some)] = np.einsum("ut,tu->u", padded, solver.solve(padded.T))
        return found
