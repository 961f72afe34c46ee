"""The gene graph: for each gene, the genes it may look at.

Built from log-normalised expression of TRAINING cells only, or from a user's own edges. Held as
CSR: the neighbours of gene i are indices[indptr[i]:indptr[i + 1]], sorted, i always among them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, PositiveInt, model_validator
from scipy import sparse

from scdfm.conditions import nearest

ROWS = 1024  # genes compared at once; bounds the temporary arrays
FLOAT64_GENES = 8192  # above, sums of products are kept in float32: 20k genes take 1.6 GB


class GraphConfig(BaseModel, frozen=True, extra="forbid"):
    """Which genes see each other; `graph: none` in a run file means {kind: none}."""

    kind: Literal["pearson", "none"] = "pearson"
    k: PositiveInt = 30  # nearest genes of each gene, before symmetrising
    positive: bool = False  # only positively correlated genes are neighbours
    cells: PositiveInt = 100_000  # training cells to correlate over, at most

    @model_validator(mode="before")
    @classmethod
    def _bare_kind(cls, given: object) -> object:
        return {"kind": given} if isinstance(given, str) else given


@dataclass(frozen=True)
class GeneGraph:
    """Neighbours of each gene, in CSR form.

    Attributes:
        indptr: Where each gene's neighbours start and end, int64 (tokens + 1,).
        indices: Neighbours, sorted within a gene, the gene itself included, int64 (edges,).
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]

    @property
    def tokens(self) -> int:
        """Genes in the graph."""
        return len(self.indptr) - 1

    @property
    def degrees(self) -> NDArray[np.int64]:
        """Neighbours of each gene, itself counted, (tokens,)."""
        return np.diff(self.indptr)

    @property
    def complete(self) -> bool:
        """Whether every gene sees every gene, so that no mask is needed."""
        return len(self.indices) == self.tokens**2

    def save(self, path: Path) -> None:
        """Write the graph as .npz, without pickle."""
        with path.open("wb") as file:  # a handle, so that numpy adds no second suffix
            np.savez_compressed(file, indptr=self.indptr, indices=self.indices)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a graph that `save` wrote.

        Raises:
            ValueError: Not such a file, or its arrays are no graph.
        """
        try:
            # Opened here: numpy leaves its own handle open when the file is truncated.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                graph = cls(arrays["indptr"].astype(np.int64), arrays["indices"].astype(np.int64))
        except (KeyError, ValueError, EOFError, TypeError, BadZipFile) as cause:
            raise ValueError(
                f"expected a gene graph (.npz with indptr and indices) in {path}, got {cause}; "
                "export the model again"
            ) from cause
        graph._check(path)
        return graph

    def _check(self, path: Path) -> None:
        ends, edges = self.indptr, self.indices
        if (
            self.tokens < 1
            or ends[0] != 0
            or ends[-1] != len(edges)
            or np.any(np.diff(ends) < 1)
            or np.any((edges < 0) | (edges >= self.tokens))
        ):
            raise ValueError(f"the gene graph in {path} is damaged; export the model again")


def pearson_graph(
    blocks: Iterable[NDArray[np.floating]], *, genes: int, k: int, positive: bool = False
) -> GeneGraph:
    """Join each gene with the k genes of largest |Pearson| correlation; symmetrise by union.

    Genes without variance, or with fewer other genes than k, keep those there are: a gene
    without variance has itself only. Ties go to the gene that comes first.

    Args:
        blocks: log1p expression of training cells, each (cells, genes); any block sizes.
        genes: Genes of every block.
        k: Neighbours of a gene, itself not counted.
        positive: Leave out genes correlated at or below zero, instead of using |r|.

    Raises:
        ValueError: A block has another number of genes, or there are fewer than 2 cells.

    Source: scDFM, eq. 7. (The release logs the data twice; not followed.)
    """
    moments = _CoMoments(genes)
    for block in blocks:
        moments.add(block)
    if moments.cells < 2:
        raise ValueError(
            f"a gene graph needs at least 2 training cells, got {moments.cells}; "
            "use a split with more training cells, or graph: none"
        )
    rows, columns = [], []
    for start in range(0, genes, ROWS):
        closeness = moments.correlation(start, min(start + ROWS, genes))
        if not positive:
            np.abs(closeness, out=closeness)
        row, column = _largest(closeness, k=k, first=start, above=0.0 if positive else -1.0)
        rows.append(row)
        columns.append(column)
    return _symmetric(np.concatenate(rows), np.concatenate(columns), genes=genes)


def none_graph(genes: int) -> GeneGraph:
    """Let every gene see every gene: the ablation `graph: none`. Takes 8 genes^2 bytes."""
    indptr = np.arange(genes + 1, dtype=np.int64) * genes
    return GeneGraph(indptr=indptr, indices=np.tile(np.arange(genes, dtype=np.int64), genes))


def edges_graph(
    sources: Sequence[str], targets: Sequence[str], *, genes: Sequence[str]
) -> GeneGraph:
    """Join the genes a user names in pairs; direction is dropped, each gene sees itself.

    Edges with a gene outside `genes` are left out: a list of known interactions covers more
    genes than a run.

    Raises:
        ValueError: The lists differ in length, or no edge lies within the genes.
    """
    if len(sources) != len(targets):
        raise ValueError(
            f"each edge needs a source and a target, got {len(sources)} and {len(targets)}"
        )
    rank: Mapping[str, int] = {gene: i for i, gene in enumerate(genes)}
    inside = [
        (rank[a], rank[b]) for a, b in zip(sources, targets, strict=True) if a in rank and b in rank
    ]
    if not inside:
        example = f"; first is {sources[0]!r}, {nearest(sources[0], genes)}" if sources else ""
        raise ValueError(
            f"none of the {len(sources)} edges joins two of the run's {len(genes)} genes{example}"
        )
    row, column = np.array(inside, dtype=np.int64).T
    return _symmetric(row, column, genes=len(genes))


class _CoMoments:
    """Running sums from which the correlation of every pair of genes follows.

    Sums are taken around the first block's means, or the products of large means would swamp
    the covariances. Only the upper triangle of the products is computed.
    """

    def __init__(self, genes: int) -> None:
        dtype = np.float64 if genes <= FLOAT64_GENES else np.float32
        self.cells = 0
        self.products = np.zeros((genes, genes), dtype=dtype)
        self.sums = np.zeros(genes)
        self.squares = np.zeros(genes)
        self.shift = np.zeros(genes)
        self.lowest = np.full(genes, np.inf)
        self.highest = np.full(genes, -np.inf)

    def add(self, block: NDArray[np.floating]) -> None:
        """Count a block of cells, (cells, genes)."""
        genes = len(self.sums)
        if block.ndim != 2 or block.shape[1] != genes:
            raise ValueError(f"blocks must be (cells, {genes}), got {block.shape}")
        if not len(block):
            return
        self.lowest = np.minimum(self.lowest, block.min(axis=0))
        self.highest = np.maximum(self.highest, block.max(axis=0))
        exact = block.astype(np.float64)
        if not self.cells:
            self.shift = exact.mean(axis=0)
        exact -= self.shift
        self.cells += len(block)
        self.sums += exact.sum(axis=0)
        self.squares += np.square(exact).sum(axis=0)
        centred = exact.astype(self.products.dtype, copy=False)
        for start in range(0, genes, ROWS):
            stop = min(start + ROWS, genes)
            self.products[start:stop, start:] += centred[:, start:stop].T @ centred[:, start:]

    def correlation(self, start: int, stop: int) -> NDArray[np.float64]:
        """Pearson correlation of genes start to stop with all genes; NaN without variance."""
        products = np.concatenate(
            [self.products[:start, start:stop].T, self.products[start:stop, start:]], axis=1
        ).astype(np.float64)
        deviation = np.sqrt(np.maximum(self.squares - self.sums**2 / self.cells, 0.0))
        # Rounding leaves a constant gene a tiny variance; its range says the truth.
        deviation[self.lowest == self.highest] = np.nan
        products -= np.outer(self.sums[start:stop], self.sums) / self.cells
        products /= np.outer(deviation[start:stop], deviation)
        return products


def _largest(
    closeness: NDArray[np.float64], *, k: int, first: int, above: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the k closest genes of each row as (row, column) pairs.

    Args:
        closeness: (rows, genes); NaN is never close. Overwritten.
        k: At most this many for a row.
        first: Gene of row 0; a gene is no neighbour of itself here.
        above: Only values greater than this count.
    """
    rows, genes = closeness.shape
    closeness[np.arange(rows), first + np.arange(rows)] = np.nan
    closeness[~(closeness > above)] = -np.inf
    # A stable sort, so that ties fall the same way on every machine.
    order = np.argsort(-closeness, axis=1, kind="stable")[:, : min(k, genes)]
    found = np.take_along_axis(closeness, order, axis=1) > -np.inf
    row, position = np.nonzero(found)
    return first + row, order[row, position]


def _symmetric(row: NDArray[np.int64], column: NDArray[np.int64], *, genes: int) -> GeneGraph:
    """Union of the edges, their reverses and each gene with itself."""
    itself = np.arange(genes, dtype=np.int64)
    ends = np.concatenate([row, column, itself]), np.concatenate([column, row, itself])
    matrix = sparse.csr_array((np.ones(len(ends[0]), dtype=bool), ends), shape=(genes, genes))
    matrix.sum_duplicates()
    matrix.sort_indices()
    return GeneGraph(indptr=matrix.indptr.astype(np.int64), indices=matrix.indices.astype(np.int64))
