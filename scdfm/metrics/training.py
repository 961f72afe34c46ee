"""What metrics take from the training conditions: their centroid, and which genes they change."""

import numpy as np

from scdfm.metrics.evidence import Training
from scdfm.metrics.pseudobulk import Array


def training_of(
    means: Array,
    *,
    variances: Array,
    cells: Array,
    control_means: Array,
    control_variances: Array,
    control_cells: Array,
) -> Training:
    """Summarise training units by their moments.

    The weight of a gene is the mean over units of its squared score, where the score is the
    absolute Welch t of the unit against its controls, scaled to [0, 1] within the unit. All
    weights sum to one; where no unit changes anything they are equal.

    Args:
        means: Of the cells of each unit, (units, genes).
        variances: Over the same cells, (units, genes).
        cells: How many there are, (units,).
        control_means: Of the controls of each unit's context, (units, genes).
        control_variances: Over those, (units, genes).
        control_cells: How many there are, (units,).

    Raises:
        ValueError: No unit, or arrays of other units.

    Source: Mejia et al. 2025, "Diversity by Design"; Vinas Torne et al. 2025 (Systema) for the
    centroid.
    """
    arrays = (means, variances, control_means, control_variances)
    if not len(means) or len({array.shape for array in arrays}) > 1:
        raise ValueError(
            "training needs moments of at least 1 unit, all (units, genes), got shapes "
            + ", ".join(str(array.shape) for array in arrays)
        )
    noise = variances / np.asarray(cells)[:, None]
    noise = noise + control_variances / np.asarray(control_cells)[:, None]
    change = np.abs(means - control_means)
    # A gene that never varies and did not move has no score.
    scores = np.divide(change, np.sqrt(noise), out=np.zeros_like(change), where=noise > 0)
    lowest = scores.min(axis=1, keepdims=True)
    width = scores.max(axis=1, keepdims=True) - lowest
    scaled = np.divide(scores - lowest, width, out=np.zeros_like(scores), where=width > 0)
    weights = np.square(scaled).mean(axis=0)
    total = weights.sum()
    genes = len(weights)
    return Training(
        mean=means.mean(axis=0),
        weights=weights / total if total > 0 else np.full(genes, 1 / genes),
    )
