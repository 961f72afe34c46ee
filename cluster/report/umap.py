"""A map of cells: UMAP by scanpy, on at most a few thousand cells."""

import logging
import warnings

import numpy as np
from numpy.typing import NDArray

from scdfm.screen.progress import phase

log = logging.getLogger(__name__)

COMPONENTS, NEIGHBOURS = 30, 15


def umap(expression: NDArray[np.float32], *, seed: int = 0) -> NDArray[np.float32]:
    """A place on a plane for each cell: principal components, neighbours, UMAP.

    Args:
        expression: log1p(counts per 10k), (cells, genes).
        seed: Of the map.

    Returns:
        (cells, 2).
    """
    phase(log, f"drawing a map of {len(expression)} cells")
    # Loads numba, which takes seconds.
    import anndata
    import scanpy

    cells = anndata.AnnData(expression)
    components = min(COMPONENTS, *(size - 1 for size in expression.shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fixed seed means one thread: umap says so each time
        scanpy.pp.pca(cells, n_comps=components, random_state=seed)
        scanpy.pp.neighbors(
            cells, n_neighbors=min(NEIGHBOURS, len(expression) - 1), random_state=seed
        )
        scanpy.tl.umap(cells, random_state=seed)
    points: NDArray[np.float32] = np.asarray(cells.obsm["X_umap"], dtype=np.float32)
    return points
