"""Variable genes from sums alone: a run chooses on TRAINING cells only, `ingest --genes` on all.

Sums are over the cells chosen on, of expression normalised to 10,000 counts but NOT logged:
scanpy's `seurat` flavour measures dispersion there. Genes are columns of the store.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, PositiveInt

BINS = 20  # of mean expression, within which dispersions are compared


class GeneChoice(BaseModel, frozen=True, extra="forbid"):
    """How many genes, and by what they are ranked."""

    model: PositiveInt = Field(
        default=5000,
        description="Genes that the model knows, at most; the perturbed are among them",
    )
    evaluation: PositiveInt = Field(
        default=1000, description="Genes of the model that are scored, at most"
    )
    choice: Literal["variable", "expressed"] = Field(
        default="variable",
        description="Rank genes by variability (as scanpy's seurat flavour), or by expression",
    )


class ChosenGenes(NamedTuple):
    """Store columns, each sorted; evaluation is a part of model."""

    model: NDArray[np.int64]
    evaluation: NDArray[np.int64]


def choose_genes(
    choice: GeneChoice,
    *,
    cells: int,
    linear_total: NDArray[np.float64],
    linear_squares: NDArray[np.float64],
    nonzero: NDArray[np.int64],
    perturbed: NDArray[np.int64],
) -> ChosenGenes:
    """Choose the genes to model and, out of these, the genes to evaluate.

    Only genes that are non-zero in training count. Those that are perturbed somewhere are kept
    in the model, in place of the lowest-ranked others; evaluation treats all alike.

    Args:
        choice: Numbers and ranking.
        cells: Training cells.
        linear_total: Sum of normalised counts over them, (genes,).
        linear_squares: Sum of their squares, (genes,).
        nonzero: Training cells in which the gene is not zero, (genes,).
        perturbed: Store columns of the perturbed genes that are measured.

    Raises:
        ValueError: No gene is non-zero, or more perturbed genes than the model may hold.
    """
    genes = len(linear_total)
    if choice.choice == "variable":
        ranking = most_variable(
            cells=cells, linear_total=linear_total, linear_squares=linear_squares, n=genes
        )
    else:
        ranking = most_expressed(linear_total=linear_total, n=genes)
    ranking = ranking[nonzero[ranking] > 0]
    if not len(ranking):
        raise ValueError(f"none of the {genes} genes is non-zero in the {cells} training cells")
    model = _keeping(ranking, kept=np.isin(ranking, perturbed), n=choice.model)
    return ChosenGenes(model=np.sort(model), evaluation=np.sort(model[: choice.evaluation]))


def most_variable(
    *,
    cells: int,
    linear_total: NDArray[np.float64],
    linear_squares: NDArray[np.float64],
    n: int,
) -> NDArray[np.int64]:
    """Rank genes by normalised dispersion and return the first n columns.

    Genes without a dispersion (constant ones) come last, in column order.

    Source: scanpy.pp.highly_variable_genes(flavor="seurat"), whose selection this equals.
    """
    dispersion = normalised_dispersion(
        cells=cells, linear_total=linear_total, linear_squares=linear_squares
    )
    return _descending(dispersion)[:n]


def are_most_variable(
    n: int,
    *,
    cells: int,
    linear_total: NDArray[np.float64],
    linear_squares: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Which genes are the n of highest normalised dispersion, (genes,); never one without any."""
    dispersion = normalised_dispersion(
        cells=cells, linear_total=linear_total, linear_squares=linear_squares
    )
    chosen = np.zeros(len(dispersion), dtype=bool)
    chosen[_descending(dispersion)[:n]] = True
    return chosen & ~np.isnan(dispersion)


def most_expressed(*, linear_total: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Rank genes by mean normalised counts and return the first n columns."""
    return _descending(linear_total)[:n]


def normalised_dispersion(
    *, cells: int, linear_total: NDArray[np.float64], linear_squares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log dispersion of each gene, as z-score among genes of similar mean; NaN if constant.

    A gene alone in its bin of means scores 1.

    Raises:
        ValueError: Fewer than 2 cells.

    Source: Satija et al. 2015 in scanpy's form, which is followed to the detail of its bins.
    """
    if cells < 2:
        raise ValueError(
            f"ranking genes by variability needs at least 2 training cells, got {cells}; "
            "use a split with more training cells"
        )
    mean = linear_total / cells
    variance = np.maximum(linear_squares - linear_total * mean, 0.0) / (cells - 1)
    variance[variance <= 1e-12 * mean**2] = 0.0  # a constant gene, but for rounding
    mean = np.where(mean == 0, 1e-12, mean)
    with np.errstate(divide="ignore"):
        dispersion = np.where(variance > 0, np.log(variance / mean), np.nan)
    return _within_bins(dispersion, bins=_bins(np.log1p(mean)))


def _bins(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bin of each value among BINS of equal width, closed on the right, as pandas.cut."""
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(len(values), dtype=np.int64)
    edges = np.linspace(low, high, BINS + 1)
    return np.maximum(np.searchsorted(edges, values, side="left") - 1, 0)


def _within_bins(
    dispersion: NDArray[np.float64], *, bins: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Standardise within each bin, over the genes that have a dispersion."""
    score = np.full(len(dispersion), np.nan)
    for one in np.unique(bins):
        inside = np.flatnonzero((bins == one) & np.isfinite(dispersion))
        values = dispersion[inside]
        if len(values) == 1:
            score[inside] = 1.0
        elif len(values) > 1:
            deviation = values.std(ddof=1)
            score[inside] = (values - values.mean()) / deviation if deviation > 0 else np.nan
    return score


def _descending(score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions from the highest score to the lowest; ties in order, NaN last."""
    return np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable")


def _keeping(ranking: NDArray[np.int64], *, kept: NDArray[np.bool_], n: int) -> NDArray[np.int64]:
    """Return the first n of a ranking that holds all the kept ones, in its order."""
    if kept.sum() > n:
        raise ValueError(
            f"{kept.sum()} measured genes are perturbed and must be in the model, got "
            f"genes.model = {n}; raise it to {kept.sum()} or more"
        )
    others = np.flatnonzero(~kept)[: n - kept.sum()]
    positions = np.sort(np.concatenate([np.flatnonzero(kept), others]))
    model: NDArray[np.int64] = ranking[positions]
    return model
