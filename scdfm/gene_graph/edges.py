"""The graph a user brings: known interactions, with or without weights."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scdfm.gene_graph.graph import GeneGraph, symmetric
from scdfm.screen.names import nearest


class UserEdges(NamedTuple):
    """The graph of a user's edges, and how many of them it could use.

    Attributes:
        graph: Neighbours of each gene.
        edges: Edges given.
        outside: Of those, edges with a gene that the run does not model.
        alone: Genes of the run that only see themselves.
    """

    graph: GeneGraph
    edges: int
    outside: int
    alone: int


def edges_graph(
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    genes: Sequence[str],
    weights: NDArray[np.floating] | None = None,
    k: int | None = None,
    positive: bool = False,
) -> UserEdges:
    """Join the genes a user names in pairs; direction is dropped, each gene sees itself.

    Edges with a gene outside `genes` are left out: a list of known interactions covers more
    genes than a run. Of a pair that is named twice the larger |weight| counts.

    Args:
        sources: One gene of each edge.
        targets: The other, in the same order.
        genes: The run's genes; row i of the graph is genes[i].
        weights: How strong each edge is, (edges,).
        k: Keep only the edges of largest |weight| of each gene, then symmetrise by union. Ties
            go to the gene that comes first.
        positive: Leave out edges of weight at or below zero.

    Raises:
        ValueError: The lists differ in length, k or positive without weights, or no edge lies
            within the genes.
    """
    if not len(sources) == len(targets) == (len(sources) if weights is None else len(weights)):
        raise ValueError(
            f"each edge needs a source and a target, and a weight where there are any, got "
            f"{len(sources)}, {len(targets)} and {0 if weights is None else len(weights)}"
        )
    if weights is None and (k is not None or positive):
        setting = "positive" if k is None else "k"
        raise ValueError(
            f"graph.{setting} chooses edges by their weight and these have none; "
            f"leave {setting} out or add a column weight"
        )
    row, column, inside = _positions(sources, targets, genes=genes)
    if not len(inside):
        example = f"; first is {sources[0]!r}, {nearest(sources[0], genes)}" if len(sources) else ""
        raise ValueError(
            f"none of the {len(sources)} edges joins two of the run's {len(genes)} genes{example}"
        )
    if weights is not None:
        row, column = _heaviest(row, column, weights[inside], k=k, positive=positive)
    graph = symmetric(row, column, genes=len(genes))
    return UserEdges(
        graph=graph,
        edges=len(sources),
        outside=len(sources) - len(inside),
        alone=int((graph.degrees == 1).sum()),
    )


def _positions(
    sources: Sequence[str], targets: Sequence[str], *, genes: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Edges within the genes: both their ends, and which edges they are."""
    rank = {gene: position for position, gene in enumerate(genes)}
    ends = np.array(
        [[rank.get(name, -1) for name in names] for names in (sources, targets)], dtype=np.int64
    )
    inside = np.flatnonzero((ends >= 0).all(axis=0))
    row, column = ends[:, inside]
    return row, column, inside


def _heaviest(
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    weights: NDArray[np.floating],
    *,
    k: int | None,
    positive: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges, both ways, that are among the k heaviest of their first gene."""
    kept = (row != column) & ((weights > 0) | (not positive))
    row, column, heavy = row[kept], column[kept], np.abs(weights[kept])
    row, column, heavy = np.r_[row, column], np.r_[column, row], np.r_[heavy, heavy]
    row, column, heavy = _once(row, column, heavy)
    order = np.lexsort((column, -heavy, row))
    row, column = row[order], column[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)  # within its gene
    near = place < (len(row) if k is None else k)
    return row[near], column[near]


def _once(
    row: NDArray[np.int64], column: NDArray[np.int64], heavy: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating]]:
    """Each pair once, with its largest weight."""
    order = np.lexsort((-heavy, column, row))
    row, column, heavy = row[order], column[order], heavy[order]
    first = np.r_[True, (np.diff(row) != 0) | (np.diff(column) != 0)][: len(row)]
    return row[first], column[first], heavy[first]
