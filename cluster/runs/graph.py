"""A run's gene graph: from the expression of its training cells, or from a user's list of edges."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from data_store.edges import read_edges
from data_store.store.reader import Store
from data_store.stream import Cells
from scdfm.flow.provenance import GraphFacts
from scdfm.gene_graph.config import GraphConfig
from scdfm.gene_graph.correlation import pearson_graph
from scdfm.gene_graph.edges import edges_graph
from scdfm.gene_graph.graph import GeneGraph, none_graph
from scdfm.gene_graph.spearman import RANKED_VALUES, spearman_graph
from scdfm.screen.atomic import sha256

ROWS = 2048  # cells read at once, at most
PIECE = 2**24  # values read at once: fewer cells of more genes


def run_graph(
    config: GraphConfig, store: Store, *, cells: Sequence[Cells], genes: NDArray[np.int64]
) -> tuple[GeneGraph, GraphFacts]:
    """Neighbours among a run's genes, and how they were found.

    Args:
        config: What the user asks for.
        store: Where the cells are.
        cells: Training cells and their controls.
        genes: The run's genes, columns of the store.

    Raises:
        FileNotFoundError: No such list of edges.
        ValueError: It is not such a list, or none of its edges joins two of the run's genes.
    """
    if config.path is not None:
        names = [store.genes[column] for column in genes.tolist()]
        return user_graph(config, genes=names)
    if config.kind == "none":
        graph = none_graph(len(genes))
        return graph, GraphFacts(kind=config.kind, edges=graph.edges)
    limit = config.cells
    if config.kind == "spearman":
        limit = min(limit, _cells_to_rank(store, cells, genes=genes))
    build = spearman_graph if config.kind == "spearman" else pearson_graph
    used = share(cells, limit=limit)
    graph = build(
        blocks(store, used, genes=genes),
        genes=len(genes),
        k=config.nearest,
        positive=config.positive,
    )
    return graph, GraphFacts(
        kind=config.kind, edges=graph.edges, cells=_count(used), of=_count(cells)
    )


def user_graph(config: GraphConfig, *, genes: Sequence[str]) -> tuple[GeneGraph, GraphFacts]:
    """The graph of a user's list of edges, and how many edges were used."""
    assert config.path is not None
    listed = read_edges(config.path)
    try:
        found = edges_graph(
            listed.sources,
            listed.targets,
            genes=genes,
            weights=listed.weights,
            k=config.k,
            positive=config.positive,
        )
    except ValueError as error:
        raise ValueError(f"{config.path}: {error}") from error
    return found.graph, GraphFacts(
        kind=config.kind,
        edges=found.graph.edges,
        path=str(config.path),
        sha256=listed.sha256,
        listed=found.edges,
        outside=found.outside,
        alone=found.alone,
    )


def graph_note(facts: GraphFacts | None) -> str | None:
    """What a user should know about the graph, in one line."""
    if facts is None:
        return None
    if facts.listed is not None and facts.outside is not None:
        return (
            f"graph: {facts.listed - facts.outside} of {facts.listed} edges of {facts.path} join "
            f"two of the model's genes, {facts.outside} are left out; {facts.alone} genes have no "
            "neighbour"
        )
    if facts.cells is not None and facts.of is not None and facts.cells < facts.of:
        return f"graph: {facts.kind} over {facts.cells} of {facts.of} training cells"
    return None


def edges_changed(config: GraphConfig, facts: GraphFacts | None) -> str | None:
    """How the list of edges differs from the one a run was begun with; none when it is gone.

    A run keeps the graph that it made of the list, so it goes on without the file.
    """
    if config.path is None or not config.path.is_file():
        return None
    now, then = sha256(config.path), facts.sha256 if facts is not None else None
    if now == then:
        return None
    return f"with {config.path} of sha256 {str(then)[:12]} and the file is now {now[:12]}"


def _cells_to_rank(store: Store, cells: Sequence[Cells], *, genes: NDArray[np.int64]) -> int:
    """How many cells hold no more values than can be ranked at once."""
    moments, units = store.moments, sorted({part.unit for part in cells})
    values = int(moments.nonzero_of(units)[genes].sum())
    return max(2, RANKED_VALUES * int(moments.cells[units].sum()) // max(1, values))


def share(cells: Sequence[Cells], *, limit: int) -> list[Cells]:
    """All cells, or the same share of each unit when there are more than the limit.

    Rows are in random order within a unit, so its first rows are a fair sample.
    """
    share = min(1.0, limit / _count(cells))
    return [
        part._replace(stop=part.start + max(1, round(share * (part.stop - part.start))))
        for part in cells
    ]


def _count(cells: Sequence[Cells]) -> int:
    return sum(part.stop - part.start for part in cells)


def blocks(
    store: Store, cells: Sequence[Cells], *, genes: NDArray[np.int64]
) -> Iterator[NDArray[np.float32]]:
    """Expression of the cells, a block of rows at a time."""
    rows = max(1, min(ROWS, PIECE // len(genes)))
    for part in cells:
        for start in range(part.start, part.stop, rows):
            yield store.expression(start, min(start + rows, part.stop), genes=genes)
