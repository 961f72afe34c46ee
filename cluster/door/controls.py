"""Control cells in memory: an AnnData as a model reads it, log1p per 10k over the model's genes.

Values may be counts or logs. Whole numbers are counts, because only the log of 0 is whole. Logs of
another depth than 10,000 are rescaled where all cells have it. Our own files name their scale.
"""

import logging
from dataclasses import dataclass
from typing import Any, NamedTuple

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from cluster.work.sampler import gene_columns
from data_store.disk.csr import row_sums
from data_store.ingest.labels import ONE_CONTEXT
from data_store.sources.detect import LIBRARY_NAMES
from data_store.sources.values import advice
from data_store.store import normalise, scales
from data_store.store.schema import LOG
from scdfm.flow.checkpoint import ModelCard
from scdfm.screen.names import nearest

_LOOK = 1_000  # cells looked at to tell what values are
CONTEXT, CONDITION, STORE_ROW = "context", "condition", "store_row"  # our obs columns


log = logging.getLogger(__name__)


class Columns(NamedTuple):
    """Where an AnnData keeps what a model needs. None: it is detected and logged.

    Attributes:
        layer: "X" or a layer; none: X, or the layer `counts` where X holds no counts.
        context: obs column; none: `context` if there is one, else all cells are of one context.
        library_size: obs column of all counts of a cell; none: a usual name, else row sums.
        genes: var column of the gene names; none: the index.
    """

    layer: str | None = None
    context: str | None = None
    library_size: str | None = None
    genes: str | None = None


@dataclass(frozen=True)
class MemoryControls:
    """Control cells of an AnnData.

    Attributes:
        values: log1p per 10k, (cells, model genes).
        numbers: Number of each cell, which decides its noise, (cells,): its row in a store where
            obs says it (`store_row`), else its place in the AnnData.
        contexts: Of each cell, (cells,).
        names: Of each cell, (cells,).
        scale: "counts" or "log1p per 10k": what the AnnData held.
    """

    values: sp.csr_matrix
    numbers: NDArray[np.int64]
    contexts: NDArray[np.object_]
    names: NDArray[np.object_]
    scale: str

    def rows(self, context: str) -> NDArray[np.int64]:
        """Numbers of a context's control cells, rising, (cells,)."""
        return np.sort(self.numbers[self.contexts == context])

    def expression(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Expression of cells by their numbers, (cells, model genes)."""
        dense: NDArray[np.float32] = self.values[self.places(rows)].toarray()
        return dense

    def mean(self, context: str) -> NDArray[np.float64]:
        """Mean over a context's control cells, (model genes,)."""
        values = self.values[np.flatnonzero(self.contexts == context)]
        mean: NDArray[np.float64] = np.asarray(values.mean(axis=0, dtype=np.float64)).ravel()
        return mean

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the AnnData holds cells of these numbers, (cells,)."""
        order = np.argsort(self.numbers)
        return order[np.searchsorted(self.numbers, rows, sorter=order)]


def read_controls(adata: anndata.AnnData, card: ModelCard, *, columns: Columns) -> MemoryControls:
    """Control cells as a model reads them.

    Args:
        adata: Control cells only; genes in any order, others than the model's are left out.
        card: Of the model.
        columns: Where things are.

    Raises:
        ValueError: No cells, perturbed cells, genes of the model that are not measured, values
            that are neither counts nor log1p per 10k, or a column that is not there.
    """
    if not isinstance(adata, anndata.AnnData):
        raise ValueError(
            f"expected an AnnData of control cells, got {type(adata).__name__}; for a store use "
            "scdfm.control_cells(store)"
        )
    if not adata.n_obs:
        raise ValueError("expected control cells, got an AnnData without cells")
    _refuse_perturbed(adata, card)
    genes = adata.var_names if columns.genes is None else _column(adata.var, columns.genes, "var")
    chosen = gene_columns(card.genes, [str(gene) for gene in genes], where="the control cells")
    values, scale = _expression(adata, chosen=chosen, columns=columns)
    log.info(
        "controls: %d cells, %s, %d of %d genes", adata.n_obs, scale, len(chosen), adata.n_vars
    )
    return MemoryControls(
        values=values,
        numbers=_numbers(adata),
        contexts=_contexts(adata, card, column=columns.context),
        names=np.asarray(adata.obs_names, dtype=object),
        scale=scale,
    )


def _refuse_perturbed(adata: anndata.AnnData, card: ModelCard) -> None:
    """Refuse cells whose label names perturbations of the model; other labels are ignored."""
    if CONDITION not in adata.obs:
        return
    known = {*card.perturbations}
    labels = adata.obs[CONDITION].astype(str)
    perturbed = {label for label in labels.unique() if _named(label, card) & known}
    cells = int(labels.isin(perturbed).sum())
    if cells:
        first = next(label for label in labels if label in perturbed)
        raise ValueError(
            f"expected control cells only, got {cells} of {adata.n_obs} with obs.condition such as "
            f"{first!r}; pass adata[adata.obs.condition == {card.words.spell(())!r}]"
        )


def _named(label: str, card: ModelCard) -> set[str]:
    try:
        return set(card.words.parse(label))
    except ValueError:  # no condition of ours
        return set()


def _numbers(adata: anndata.AnnData) -> NDArray[np.int64]:
    if STORE_ROW not in adata.obs:
        return np.arange(adata.n_obs)
    numbers: NDArray[np.int64] = adata.obs[STORE_ROW].to_numpy(dtype=np.int64)
    if len(np.unique(numbers)) < len(numbers):
        raise ValueError(
            f"expected each control cell once, got repeats in obs.{STORE_ROW}; drop this column if "
            "the cells come from several stores"
        )
    return numbers


def _contexts(
    adata: anndata.AnnData, card: ModelCard, *, column: str | None
) -> NDArray[np.object_]:
    if column is None and CONTEXT in adata.obs:
        column = CONTEXT
    if column is None:
        one = card.contexts[0] if len(card.contexts) == 1 else ONE_CONTEXT
        return np.full(adata.n_obs, one, dtype=object)
    contexts = _column(adata.obs, column, "obs")
    if contexts.isna().any():
        raise ValueError(
            f"expected a context for each control cell, got {int(contexts.isna().sum())} of "
            f"{adata.n_obs} without one in obs.{column}; fill it or drop these cells"
        )
    return contexts.astype(str).to_numpy(dtype=object)


def _expression(
    adata: anndata.AnnData, *, chosen: NDArray[np.int64], columns: Columns
) -> tuple[sp.csr_matrix, str]:
    """log1p per 10k of the chosen genes, and what the values were."""
    block, where = _block(adata, columns.layer)
    if _says_log(adata, where):
        return sp.csr_matrix(normalise.as_log(block, where=where)[:, chosen]), "log1p per 10k"
    if not normalise.looks_like_counts(block):
        return sp.csr_matrix(_per_10k(block, where=where)[:, chosen]), "log1p per 10k"
    counts = normalise.as_counts(block, where=where)
    library = _library_sizes(adata, sums=row_sums(counts), column=columns.library_size)
    kept = sp.csr_matrix(counts[:, chosen])
    values = normalise.expression(
        kept.data,
        scale=normalise.scale(library).astype(np.float32),
        repeats=np.diff(kept.indptr),
    )
    return sp.csr_matrix((values, kept.indices, kept.indptr), shape=kept.shape), "counts"


def _per_10k(block: sp.csr_matrix, *, where: str) -> sp.csr_matrix:
    """Values that are not counts, as log1p per 10k.

    Raises:
        ValueError: They are known to be something else.
    """
    rows = np.unique(np.linspace(0, block.shape[0] - 1, _LOOK).astype(int))
    values = scales.look(sp.csr_matrix(block[rows]))
    told = advice.described(values)
    if values.form in ("log", "linear") and values.depth is None and not advice.may_be_log(values):
        raise ValueError(
            f"expected counts or log1p per 10k in {where}, got {told}; name a layer of counts"
        )
    if values.form == "fractions":
        log.warning("controls: %s holds %s; taken for log1p per 10k", where, told)
    if normalise.is_rescaled(values):
        log.info("controls: %s holds %s; rescaled to 10,000", where, told)
    return normalise.as_log(
        block, where=where, values=normalise.AS_GIVEN if values.depth is None else values
    )


def _block(adata: anndata.AnnData, layer: str | None) -> tuple[sp.csr_matrix, str]:
    """The values to read, and their name in messages."""
    if layer is not None and layer != "X":
        if layer not in adata.layers:
            raise ValueError(
                f"the control cells have no layer {layer!r}; {nearest(layer, list(adata.layers))}"
            )
        return _csr(adata.layers[layer]), f"layers[{layer!r}] of the control cells"
    if adata.X is None:
        raise ValueError("expected values in X of the control cells, got none; name a layer")
    block = _csr(adata.X)
    if layer is None and "counts" in adata.layers and not normalise.looks_like_counts(block):
        counts = _csr(adata.layers["counts"])
        if normalise.looks_like_counts(counts):
            return counts, "layers['counts'] of the control cells"
    return block, "X of the control cells"


def _csr(matrix: Any) -> sp.csr_matrix:
    if not sp.issparse(matrix):
        matrix = np.asarray(matrix[:] if hasattr(matrix, "file") else matrix)
    block = sp.csr_matrix(matrix)
    if np.isnan(block.data).any():
        raise ValueError("expected numbers in the control cells, got NaN; remove these cells")
    return block


def _says_log(adata: anndata.AnnData, where: str) -> bool:
    """Whether the AnnData names the scale of X, as our files do, so it need not be guessed."""
    ours = adata.uns.get("scdfm")
    scale = ours.get("scale") if isinstance(ours, dict) else None
    return bool(scale == LOG) and where.startswith("X ")


def _library_sizes(
    adata: anndata.AnnData, *, sums: NDArray[np.float64], column: str | None
) -> NDArray[np.float64]:
    """All counts of each cell: of a usual column that is never below the row sums, or these."""
    sizes: NDArray[np.float64]
    if column is not None:
        sizes = _column(adata.obs, column, "obs").to_numpy(dtype=np.float64)
        fits = np.isfinite(sizes) & ((sizes > 0) | (sums == 0))
        if not fits.all():
            raise ValueError(
                f"expected library sizes above 0 in obs.{column}, got {sizes[~fits][0]:g}; choose "
                "another column"
            )
        return sizes
    for name in LIBRARY_NAMES:
        if name in adata.obs and pd.api.types.is_numeric_dtype(adata.obs[name]):
            sizes = adata.obs[name].to_numpy(dtype=np.float64)
            if (sizes >= sums * (1 - 1e-6)).all():
                log.info("library size of the controls: obs.%s", name)
                return sizes
    log.info("library size of the controls: row sums over %d genes", adata.n_vars)
    return sums


def _column(table: pd.DataFrame, name: str, kind: str) -> "pd.Series[Any]":
    if name not in table:
        raise ValueError(
            f"the control cells have no {kind} column {name!r}; "
            f"{nearest(name, list(map(str, table)))}"
        )
    return table[name]
