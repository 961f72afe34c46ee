"""Neighbours of each gene in CSR form, in memory and on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True)
class GeneGraph:
    """Neighbours of each gene: those of gene i are indices[indptr[i]:indptr[i + 1]].

    Attributes:
        indptr: Where each gene's neighbours start and end, int64 (tokens + 1,).
        indices: Neighbours, sorted within a gene, the gene itself included, int64 (edges,).
            Empty where every gene sees every gene: their list would take 8 tokens^2 bytes.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]

    @property
    def tokens(self) -> int:
        """Genes in the graph."""
        return len(self.indptr) - 1

    @property
    def edges(self) -> int:
        """Pairs of a gene and a gene it sees, itself included."""
        return int(self.indptr[-1])

    @property
    def degrees(self) -> NDArray[np.int64]:
        """Number of neighbours of each gene, itself included, (tokens,)."""
        return np.diff(self.indptr)

    @property
    def complete(self) -> bool:
        """Whether every gene sees every gene, so that no mask is needed."""
        return self.edges == self.tokens**2

    def save(self, path: Path) -> None:
        """Write the graph as .npz, without pickle."""
        with path.open("wb") as file:  # a handle, so that numpy adds no second suffix
            np.savez_compressed(file, indptr=self.indptr, indices=self.indices)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a graph that `save` wrote.

        Raises:
            ValueError: Not such a file, or its arrays are not a graph.
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
            or np.any(np.diff(ends) < 1)
            or not (ends[-1] == len(edges) or (self.complete and not len(edges)))
            or np.any((edges < 0) | (edges >= self.tokens))
        ):
            raise ValueError(f"the gene graph in {path} is damaged; export the model again")


def none_graph(genes: int) -> GeneGraph:
    """Let every gene see every gene: the ablation `graph: none`."""
    return GeneGraph(
        indptr=np.arange(genes + 1, dtype=np.int64) * genes, indices=np.empty(0, dtype=np.int64)
    )


def symmetric(row: NDArray[np.int64], column: NDArray[np.int64], *, genes: int) -> GeneGraph:
    """Union of the edges, their reverses and each gene with itself."""
    itself = np.arange(genes, dtype=np.int64)
    ends = np.concatenate([row, column, itself]), np.concatenate([column, row, itself])
    matrix = sparse.csr_array((np.ones(len(ends[0]), dtype=bool), ends), shape=(genes, genes))
    matrix.sum_duplicates()
    matrix.sort_indices()
    return GeneGraph(indptr=matrix.indptr.astype(np.int64), indices=matrix.indices.astype(np.int64))
