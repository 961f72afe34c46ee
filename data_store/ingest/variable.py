"""Variable genes from sums alone, as scanpy's flavour `seurat` ranks them.

For `ingest --genes`, which chooses over ALL cells. A run chooses on its training cells instead.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_BINS = 20  # of the mean, within which dispersions are compared


def normalised_dispersion(
    *, cells: int, total: NDArray[np.float64], squares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How variable genes are among genes of like mean, (genes,); NaN where never seen.

    Args:
        cells: How many.
        total: Sum over cells of values per 10k, before any logarithm, (genes,).
        squares: Sum of their squares, (genes,).

    Source: Satija et al. 2015, as in scanpy.pp.highly_variable_genes(flavor="seurat").
    """
    mean = total / cells
    variance = (squares / cells - mean**2) * cells / max(1, cells - 1)
    mean = np.where(mean == 0, 1e-12, mean)
    dispersion = variance / mean
    with np.errstate(divide="ignore", invalid="ignore"):
        table = pd.DataFrame({"dispersion": np.log(np.where(dispersion == 0, np.nan, dispersion))})
    table["bin"] = pd.cut(np.log1p(mean), bins=_BINS)
    groups = table.groupby("bin", observed=True)["dispersion"]
    centre, spread = groups.transform("mean"), groups.transform("std")
    # A gene alone in its bin is compared with itself: scanpy gives it 1.
    alone = spread.isna()
    spread, centre = spread.where(~alone, centre), centre.where(~alone, 0.0)
    return ((table["dispersion"] - centre) / spread).to_numpy(dtype=np.float64)


def most_variable(
    count: int, *, cells: int, total: NDArray[np.float64], squares: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which genes are among the `count` most variable, (genes,); never one that is not seen."""
    score = normalised_dispersion(cells=cells, total=total, squares=squares)
    order = np.argsort(-np.where(np.isnan(score), -np.inf, score), kind="stable")[:count]
    chosen = np.zeros(len(score), dtype=bool)
    chosen[order] = True
    chosen &= ~np.isnan(score)
    return chosen
