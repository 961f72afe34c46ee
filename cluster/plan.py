"""What a run will do with a store: its split, genes, graph, and which cells go where.

All of it is decided on cells outside the test part, before training starts.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cluster.run import RunConfig
from data_store.reader import Store
from data_store.stream import Cells
from scdfm.gene_graph import GeneGraph, GraphConfig, none_graph, pearson_graph
from scdfm.genes import ChosenGenes, choose_genes
from scdfm.randomness import numpy_generator
from scdfm.splits import Split, make_split
from scdfm.splits.split import Part
from scdfm.vocabulary import Vocabulary

ROWS = 2048  # cells read at once for the graph
SPLIT, GENES, GRAPH = "split.json", "genes.json", "graph.npz"


@dataclass(frozen=True)
class Plan:
    """A run's decisions about its data.

    Attributes:
        split: Which conditions train, validate and test.
        genes: Columns of the store: the model's genes, and those that are scored.
        graph: Neighbours among the model's genes.
        vocabulary: Names of the model's genes and of all perturbations in the store.
        training: Cells to train on, one entry for each unit.
        validation: Cells that validation rounds compare with, likewise.
    """

    split: Split
    genes: ChosenGenes
    graph: GeneGraph
    vocabulary: Vocabulary
    training: tuple[Cells, ...]
    validation: tuple[Cells, ...]

    def save(self, directory: Path) -> None:
        """Write what cannot be told from run and store alone."""
        directory.mkdir(parents=True, exist_ok=True)
        self.split.save(directory / SPLIT)
        self.graph.save(directory / GRAPH)
        columns = {name: columns.tolist() for name, columns in self.genes._asdict().items()}
        (directory / GENES).write_text(json.dumps(columns))

    @classmethod
    def load(cls, directory: Path, *, run: RunConfig, store: Store) -> Self:
        """Read a plan that `save` wrote."""
        columns = json.loads((directory / GENES).read_text())
        genes = ChosenGenes(**{name: np.array(some, np.int64) for name, some in columns.items()})
        split, graph = Split.load(directory / SPLIT), GeneGraph.load(directory / GRAPH)
        return cls(
            split=split,
            genes=genes,
            graph=graph,
            vocabulary=vocabulary(store, genes.model),
            training=training_cells(split, store),
            validation=validation_cells(split, store, run=run),
        )


def make_plan(run: RunConfig, store: Store) -> Plan:
    """Decide split, genes and graph.

    Raises:
        ValueError: The split leaves a part empty, or no gene is expressed in training.
    """
    split = run_split(run, store)
    genes = run_genes(run, store, split=split)
    return Plan(
        split=split,
        genes=genes,
        graph=run_graph(run.graph, store, split=split, genes=genes.model, seed=run.seed),
        vocabulary=vocabulary(store, genes.model),
        training=training_cells(split, store),
        validation=validation_cells(split, store, run=run),
    )


def run_split(run: RunConfig, store: Store) -> Split:
    """The run's split of the store's conditions.

    Raises:
        ValueError: A part is empty (names a kind that would work).
    """
    return make_split(
        run.split,
        conditions=store.conditions,
        labels=store.labels,
        contexts=contexts_of_conditions(store),
    )


def contexts_of_conditions(store: Store) -> dict[str, list[str]]:
    """Which contexts hold each condition."""
    contexts: dict[str, list[str]] = {name: [] for name in store.conditions}
    for unit in store.units:
        if not unit.is_control:
            contexts[unit.condition].append(unit.context)
    return contexts


def units_of(split: Split, store: Store, part: Part) -> list[int]:
    """Positions in store.units of a part's units; controls are in no part."""
    return [
        position
        for position, unit in enumerate(store.units)
        if not unit.is_control and split.part(unit.condition, context=unit.context) == part
    ]


def known_units(split: Split, store: Store) -> list[int]:
    """Units that choices may look at: training, validation, and the controls beside them."""
    controls = [
        position
        for position, unit in enumerate(store.units)
        if unit.is_control and split.knows_controls(unit.context)
    ]
    return sorted(controls + units_of(split, store, "train") + units_of(split, store, "validation"))


def training_cells(split: Split, store: Store) -> tuple[Cells, ...]:
    """The cells of each training unit, without those kept for validation."""
    cells = []
    for position in units_of(split, store, "train"):
        unit = store.units[position]
        kept = split.validation_cells(len(unit))
        cells.append(Cells(position, unit.start, unit.stop - kept))
    return tuple(cells)


def validation_cells(split: Split, store: Store, *, run: RunConfig) -> tuple[Cells, ...]:
    """The cells that validation compares with, of at most `run.validation.units` units."""
    if split.validation_kind == "conditions":
        whole = [(k, store.units[k]) for k in units_of(split, store, "validation")]
        cells = [Cells(position, unit.start, unit.stop) for position, unit in whole]
    else:
        training = [(k, store.units[k]) for k in units_of(split, store, "train")]
        cells = [
            Cells(position, unit.stop - kept, unit.stop)
            for position, unit in training
            if (kept := split.validation_cells(len(unit)))
        ]
    if not cells:
        raise ValueError(
            "no cell is left to validate on: every training condition has a single cell; "
            "ingest with --min-condition-cells 2 or more"
        )
    if len(cells) > run.validation.units:
        draw = numpy_generator(run.seed, "validation units")
        chosen = draw.choice(len(cells), run.validation.units, replace=False)
        cells = [cells[position] for position in sorted(chosen.tolist())]
    return tuple(cells)


def run_genes(run: RunConfig, store: Store, *, split: Split) -> ChosenGenes:
    """The run's genes, chosen on everything outside the test part."""
    known = known_units(split, store)
    moments = store.moments
    column = {gene: position for position, gene in enumerate(store.genes)}
    perturbed = sorted(
        {
            column[token]
            for tokens in store.conditions.values()
            for token in tokens
            if token in column
        }
        if store.perturbation == "gene"
        else ()
    )
    return choose_genes(
        run.genes,
        cells=int(moments.cells[known].sum()),
        linear_total=moments.linear_total[known].sum(axis=0),
        linear_squares=moments.linear_squares[known].sum(axis=0),
        nonzero=moments.nonzero[known].sum(axis=0),
        perturbed=np.array(perturbed, dtype=np.int64),
    )


def run_graph(
    config: GraphConfig, store: Store, *, split: Split, genes: NDArray[np.int64], seed: int
) -> GeneGraph:
    """Neighbours among the run's genes, from training cells and the controls beside them."""
    if config.kind == "none":
        return none_graph(len(genes))
    controls = [
        Cells(position, unit.start, unit.stop)
        for position, unit in enumerate(store.units)
        if unit.is_control and split.knows_controls(unit.context)
    ]
    cells = [*controls, *training_cells(split, store)]
    return pearson_graph(
        _blocks(store, cells, genes=genes, limit=config.cells),
        genes=len(genes),
        k=config.k,
        positive=config.positive,
    )


def _blocks(
    store: Store, cells: list[Cells], *, genes: NDArray[np.int64], limit: int
) -> Iterator[NDArray[np.float32]]:
    """Expression of the cells, or of the same share of each unit when they are too many.

    Rows stand in random order within a unit, so its first rows are a fair sample.
    """
    share = min(1.0, limit / sum(part.stop - part.start for part in cells))
    for part in cells:
        stop = part.start + max(1, round(share * (part.stop - part.start)))
        for start in range(part.start, stop, ROWS):
            yield store.expression(start, min(start + ROWS, stop), genes=genes)


def vocabulary(store: Store, genes: NDArray[np.int64]) -> Vocabulary:
    """Names of the model's genes, and of all perturbations in the store."""
    return Vocabulary(
        genes=tuple(store.genes[column] for column in genes),
        perturbations=tuple(sorted({t for tokens in store.conditions.values() for t in tokens})),
        kind=store.perturbation,
    )
