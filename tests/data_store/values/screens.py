"""One screen in the forms that labs keep it in; the counts are always known."""

from collections.abc import Callable

import anndata
import numpy as np
import scipy.sparse as sp

from data_store.sources.opening import opened
from data_store.sources.options import IngestOptions
from data_store.sources.values.reading import Reading, reading
from tests.data_store.cells import adata, logged

Change = Callable[[anndata.AnnData], anndata.AnnData]
CELLS, GENES = 60, 300


def counted(*, deep: float = 1.0) -> anndata.AnnData:
    """Counts of 60 cells whose depths differ threefold, as float32."""
    rng = np.random.default_rng(7)
    depth = rng.uniform(0.5, 1.5, (CELLS, 1))
    counts = rng.poisson(deep * depth * rng.gamma(0.7, 2.0, GENES)).astype(np.float32)
    genes = ["A", "B", *(f"G{k}" for k in range(GENES - 2))]
    return adata(["ctrl", "A", "B"] * (CELLS // 3), genes=genes, counts=counts)


def per_10k(cells: anndata.AnnData) -> anndata.AnnData:
    return logged(cells)


def to_median(cells: anndata.AnnData) -> anndata.AnnData:
    """As scanpy normalises where no target is named."""
    return logged(cells, depth=float(np.median(np.asarray(cells.X.sum(axis=1)))))


def per_million(cells: anndata.AnnData) -> anndata.AnnData:
    return logged(cells, depth=1e6)


def with_x(cells: anndata.AnnData, change: Callable[[np.ndarray], np.ndarray]) -> anndata.AnnData:
    result = cells.copy()
    result.X = sp.csr_matrix(change(cells.X.toarray()).astype(np.float32))
    return result


def log2_per_million(cells: anndata.AnnData) -> anndata.AnnData:
    return with_x(per_million(cells), lambda x: x / np.log(2))


def not_logged(cells: anndata.AnnData) -> anndata.AnnData:
    return with_x(logged(cells), np.expm1)


def corrected(cells: anndata.AnnData) -> anndata.AnnData:
    """As SoupX and CellBender leave them: a part of every count is gone."""
    rng = np.random.default_rng(3)
    return with_x(cells, lambda x: x * (1 - rng.uniform(0, 0.3, x.shape)))


def scaled(cells: anndata.AnnData) -> anndata.AnnData:
    return with_x(logged(cells), lambda x: (x - x.mean(0)) / (x.std(0) + 1e-3))


def few_genes(change: Change) -> Change:
    """Half of the genes, left out after the change."""
    return lambda cells: change(cells)[:, : GENES // 2].copy()


def unnormalised(cells: anndata.AnnData) -> anndata.AnnData:
    return with_x(cells, np.log1p)


def with_raw(change: Change, kept: Change = lambda cells: cells) -> Change:
    """Changed cells that keep others, of all genes, in .raw."""

    def made(cells: anndata.AnnData) -> anndata.AnnData:
        result = change(cells)
        result.raw = kept(cells)
        return result

    return made


def with_layer(change: Change, name: str) -> Change:
    """Changed cells that keep their counts in a layer."""

    def made(cells: anndata.AnnData) -> anndata.AnnData:
        result = change(cells)
        result.layers[name] = cells[:, result.var_names].X
        return result

    return made


def taken(cells: anndata.AnnData, **options: object) -> tuple[Reading, sp.csr_matrix]:
    """How the cells are read, and all their values as they would be stored."""
    told = IngestOptions.model_validate(options)
    with opened([cells], options=told) as (sources, _, told):
        [source] = sources
        found = reading(source, options=told)
        blocks = source.blocks(found.layer, elements=10_000)
        rows = [found.taken(block, where="cells") for _, block in blocks]
    return found, sp.csr_matrix(sp.vstack(rows))
