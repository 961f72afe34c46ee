"""The plain additive base: a token's effect is the mean change that it makes alone."""

import numpy as np
import scipy.sparse as sp

from scdfm.metrics.baselines.changes import Changes
from scdfm.metrics.baselines.units import MeasuredUnits
from scdfm.metrics.shrunken.base import Base
from scdfm.metrics.shrunken.design import design, measured
from scdfm.metrics.shrunken.fit import LEAST_ENERGY, interaction
from scdfm.metrics.shrunken.posterior import LEAST_NOISE
from scdfm.metrics.shrunken.scale import additivity

NO_SINGLES = (
    "the additive base adds up what perturbations change alone, and training has none alone; set "
    "sampling.mean to shrunken"
)


def unshrunken(training: MeasuredUnits) -> Base:
    """Effects as they were measured, added up whole, as a base.

    Unlike the baseline `additive` it averages a token over its contexts, and a token that was
    never measured alone counts as the mean change of the unit's context, as in the shrunken base.
    What combinations show beyond the plain sum says how unsure it is of them, and moves no mean.

    Args:
        training: Units with their noise.

    Raises:
        ValueError: No perturbation was measured alone.
    """
    known, changes = measured(training), Changes(training)
    rows = [row for row, condition in enumerate(known.conditions) if len(condition) == 1]
    if not rows:
        raise ValueError(NO_SINGLES)
    noise = np.maximum(known.noise[rows], LEAST_NOISE)
    tokens = tuple(known.conditions[row][0] for row in rows)
    tau = np.maximum(np.square(known.delta[rows]).mean(axis=1), LEAST_ENERGY)
    found = additivity(known, given=1.0)
    sums = design(known.conditions, tokens=tokens)[found.combinations] @ tau
    return Base(
        tokens=tokens,
        effects=known.delta[rows],
        own=sp.csr_matrix((len(rows), known.delta.shape[1])),
        own_variance=sp.csr_matrix((len(rows), known.delta.shape[1])),
        errors=np.zeros((0, known.delta.shape[1])),
        tau=tau,
        precision=sp.csr_matrix(sp.diags_array(1 / noise)),
        scale=1.0,
        nu=interaction(known, found, tau=sums),
        combinations=len(found.combinations),
        noise=float(known.noise.mean()),
        contexts=known.contexts,
        fallback=np.stack([changes.average(context) for context in known.contexts]),
        overall=changes.overall,
    )
