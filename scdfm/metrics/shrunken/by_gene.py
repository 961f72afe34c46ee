"""How unsure a base is of each gene: its variances, which are means over genes, given to genes.

A base has one posterior variance for all genes of a unit. Genes differ, so each part of it is
shared out by what it comes from, and its mean over genes stays the same:

    effects of tokens that were seen      as cells vary: these effects are known up to sampling
    effects of tokens that were not       as the effects of other tokens are large in a gene
    interaction                           half as that, half as the unit's own effects are large
    own changes of perturbed genes        where they are

This sharing is a choice of ours, not a posterior; intervals are calibrated after it
(`scdfm.flow.certainty.intervals`).
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from scdfm.metrics.baselines.units import Array
from scdfm.metrics.shrunken.base import Base
from scdfm.metrics.shrunken.design import design
from scdfm.screen.conditions import Condition

_OWN = 0.5  # of the interaction's variance: by the unit's own effects


def variance_by_gene(base: Base, conditions: Sequence[Condition], *, cells: Array) -> Array:
    """Posterior variance of the changes of units not measured, (units, genes).

    Args:
        base: Fitted.
        conditions: Sorted tokens of each unit.
        cells: Variance over the control cells of each unit's context, (units, genes).
    """
    known, unseen, interaction, _ = (part[:, None] for part in base.variances(conditions))
    members = design(conditions, tokens=base.tokens)
    squares = np.square(base.effects)
    # The median, since each token changes its own gene more than any other does.
    others = _shape(np.median(squares, axis=0)[None])
    own = _shape(members @ squares, otherwise=others)
    shared: Array = (
        known * _shape(cells) + unseen * others + interaction * (_OWN * own + (1 - _OWN) * others)
    )
    apart = sp.coo_matrix(members @ base.own_variance)
    shared[apart.row, apart.col] += apart.data
    return shared


def _shape(values: Array, *, otherwise: Array | float = 1.0) -> Array:
    """Rows with a mean of 1; of zeros alone, something else, (units, genes)."""
    mean = values.mean(axis=1, keepdims=True)
    shape: Array = np.where(mean > 0, values / np.where(mean > 0, mean, 1), otherwise)
    return shape
