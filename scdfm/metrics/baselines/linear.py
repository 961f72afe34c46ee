"""A linear model of perturbed genes and of genes, both embedded by the training means.

Source: Ahlmann-Eltze, Huber and Anders 2025, "Deep-learning-based gene perturbation effect
prediction does not yet outperform simple linear baselines": Y ~ G W P^T + b.
"""

import numpy as np
from numpy.typing import NDArray

from scdfm.metrics.baselines.units import Array, MeasuredUnits, Prediction, Units
from scdfm.screen.conditions import Condition

COMPONENTS = 10  # of the embeddings, as in the source
RIDGE = 0.1  # on both sides, as in the source


def linear(training: MeasuredUnits, test: Units) -> Prediction:
    """Control plus b + G W p, where p is the sum of the embeddings of the condition's genes.

    Y holds the changes of the training units, (genes, units), b is their mean, G the first ten
    principal components of Y - b over genes. A perturbed gene is embedded as its own row of G, so
    that a gene never perturbed has an embedding, too; W is fitted by ridge regression. A token
    that is no measured gene adds nothing, and the unit is marked incomplete: for drugs the
    prediction is the mean change.
    """
    row = {gene: place for place, gene in enumerate(training.genes)}
    changes = training.delta.T
    mean = changes.mean(axis=1, keepdims=True)
    embedding = _components(changes - mean)
    known = _embedded(training.conditions, embedding, row=row)
    weights = _two_sided_ridge(changes - mean, genes=embedding, units=known)
    asked = _embedded(test.conditions, embedding, row=row)
    missing = [any(token not in row for token in tokens) for tokens in test.conditions]
    predicted = (mean + embedding @ weights @ asked.T).T
    return Prediction(test.control + predicted, np.array(missing, dtype=bool))


def _components(centred: Array) -> Array:
    """Scores of genes on their first principal components, (genes, components)."""
    left, sizes, _ = np.linalg.svd(centred - centred.mean(axis=0), full_matrices=False)
    first = min(COMPONENTS, int((sizes > sizes[0] * 1e-10).sum()) if len(sizes) else 0)
    scores: Array = left[:, :first] * sizes[:first]
    return scores


def _embedded(conditions: tuple[Condition, ...], embedding: Array, *, row: dict[str, int]) -> Array:
    """Sum of the embeddings of each condition's genes, (units, components)."""
    return np.stack(
        [
            embedding[[row[token] for token in tokens if token in row]].sum(axis=0)
            for tokens in conditions
        ]
    )


def _two_sided_ridge(changes: Array, *, genes: Array, units: Array) -> NDArray[np.float64]:
    """W of changes ~ genes W units^T, (components, components)."""

    def penalised(side: Array) -> Array:
        return side.T @ side + RIDGE * np.eye(side.shape[1])

    left = np.linalg.solve(penalised(genes), genes.T @ changes @ units)
    return np.linalg.solve(penalised(units), left.T).T
