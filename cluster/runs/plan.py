"""What a run will do with a store: its split, genes, graph, and which cells go where.

All of it is decided on cells outside the test part, before training starts.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cluster.runs.given import Given, given
from cluster.runs.graph import run_graph, user_graph
from cluster.runs.parts.plan_files import GENES, GIVEN, plan_remedy
from cluster.settings.config import RunConfig
from data_store.store.reader import Store
from data_store.stream import Cells
from scdfm.flow.files import GRAPH, SPLIT
from scdfm.flow.provenance import GraphFacts
from scdfm.gene_graph.config import GraphConfig
from scdfm.gene_graph.graph import GeneGraph
from scdfm.model.vocabulary import Vocabulary
from scdfm.screen.atomic import replaced, write_json
from scdfm.screen.conditions import Words
from scdfm.screen.randomness import numpy_generator
from scdfm.screen.variable_genes import ChosenGenes, GeneChoice, choose_genes
from scdfm.splits import Split, SplitConfig, make_split
from scdfm.splits.folds import fold_splits, whole_split
from scdfm.splits.screen import Screen
from scdfm.splits.split import Part


@dataclass(frozen=True)
class Plan:
    """A run's decisions about its data.

    Attributes:
        split: Which conditions train, validate and test.
        genes: Columns of the store: the model's genes, and those that are scored.
        graph: Neighbours among the model's genes.
        vocabulary: Names of the model's genes and of all perturbations in the store.
        words: How the store writes conditions.
        training: Cells to train on, one entry for each unit.
        validation: Cells that validation rounds compare with, likewise.
        graph_facts: How the graph was made; None in a plan that was read.
        given: What the network is given of the training cells; empty without such options.
    """

    split: Split
    genes: ChosenGenes
    graph: GeneGraph
    vocabulary: Vocabulary
    words: Words
    training: tuple[Cells, ...]
    validation: tuple[Cells, ...]
    graph_facts: GraphFacts | None = None
    given: Given = field(default_factory=dict)

    def save(self, directory: Path) -> None:
        """Write what does not follow from run and store alone."""
        directory.mkdir(parents=True, exist_ok=True)
        self.split.save(directory / SPLIT)
        self.graph.save(directory / GRAPH)
        columns = {name: columns.tolist() for name, columns in self.genes._asdict().items()}
        write_json(directory / GENES, columns)
        (directory / GIVEN).unlink(missing_ok=True)  # of another configuration of this name
        if self.given:
            with replaced(directory / GIVEN) as draft:
                save_file(self.given, draft)

    @classmethod
    def load(cls, directory: Path, *, run: RunConfig, store: Store) -> Self:
        """Read a plan that `save` wrote.

        Raises:
            ValueError: A file of it is damaged.
        """
        genes = _read_genes(directory)
        split, graph = Split.load(directory / SPLIT), GeneGraph.load(directory / GRAPH)
        return cls(
            split=split,
            genes=genes,
            graph=graph,
            vocabulary=vocabulary(store, genes.model),
            words=store.words,
            training=training_cells(split, store),
            validation=validation_cells(split, store, units=run.validation.units, seed=run.seed),
            given=_read_given(directory),
        )


def _read_genes(directory: Path) -> ChosenGenes:
    try:
        columns = json.loads((directory / GENES).read_text())
        return ChosenGenes(**{name: np.array(some, np.int64) for name, some in columns.items()})
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{directory / GENES} is damaged; {plan_remedy(directory)}") from error


def _read_given(directory: Path) -> Given:
    if not (directory / GIVEN).is_file():
        return {}
    try:
        return load_file(directory / GIVEN)
    except SafetensorError as error:
        raise ValueError(f"{directory / GIVEN} is damaged; {plan_remedy(directory)}") from error


def make_plan(run: RunConfig, store: Store) -> Plan:
    """Decide split, genes and graph.

    Raises:
        FileNotFoundError: No such list of edges.
        ValueError: The split leaves a part empty, no gene is expressed in training, or the list of
            edges does not fit.
    """
    split = planned_split(run, store)
    genes = run_genes(run.genes, store, split=split)
    training = training_cells(split, store)
    seen = [*known_controls(split, store), *training]
    graph, facts = run_graph(run.graph, store, cells=seen, genes=genes.model)
    names = vocabulary(store, genes.model)
    return Plan(
        split=split,
        genes=genes,
        graph=graph,
        graph_facts=facts,
        vocabulary=names,
        words=store.words,
        training=training,
        validation=validation_cells(split, store, units=run.validation.units, seed=run.seed),
        given=given(run.model, store, cells=seen, genes=genes.model, names=names),
    )


def run_split(config: SplitConfig, store: Store) -> Split:
    """A split of the store's conditions.

    Raises:
        ValueError: A part is empty (names a kind that would work).
    """
    return make_split(
        config,
        conditions=store.conditions,
        words=store.words,
        contexts=contexts_of_conditions(store),
    )


def planned_split(run: RunConfig, store: Store) -> Split:
    """What trains, validates and tests in a run itself; where it has folds, these validate."""
    split = run_split(run.split, store)
    return split if run.validation.folds is None else whole_split(split)


def run_folds(run: RunConfig, store: Store) -> tuple[Split, ...]:
    """The split of each of a run's folds.

    Raises:
        ValueError: More folds than the split allows.
    """
    if run.validation.folds is None:
        return ()
    screen = Screen(
        conditions={name: tokens for name, tokens in store.conditions.items() if tokens},
        words=store.words,
        contexts=contexts_of_conditions(store),
    )
    return fold_splits(run_split(run.split, store), screen, folds=run.validation.folds)


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
    """Units that choices may look at: training, validation, and their controls."""
    controls = [cells.unit for cells in known_controls(split, store)]
    return sorted(controls + known_conditions(split, store))


def known_conditions(split: Split, store: Store) -> list[int]:
    """Positions in store.units of the training and validation units."""
    return sorted(units_of(split, store, "train") + units_of(split, store, "validation"))


def whole_units(store: Store, positions: Sequence[int]) -> list[Cells]:
    """All cells of some units."""
    return [Cells(k, store.units[k].start, store.units[k].stop) for k in positions]


def known_controls(split: Split, store: Store) -> list[Cells]:
    """The controls that choices may look at; those of a held-out context are for the test."""
    return [
        Cells(position, unit.start, unit.stop)
        for position, unit in enumerate(store.units)
        if unit.is_control and split.knows_controls(unit.context)
    ]


def contexts_of(cells: Sequence[Cells], store: Store) -> tuple[str, ...]:
    """Contexts of some units, sorted."""
    return tuple(sorted({store.units[part.unit].context for part in cells}))


def training_cells(split: Split, store: Store) -> tuple[Cells, ...]:
    """The cells of each training unit, without those kept for validation."""
    cells = []
    for position in units_of(split, store, "train"):
        unit = store.units[position]
        kept = split.validation_cells(len(unit))
        cells.append(Cells(position, unit.start, unit.stop - kept))
    return tuple(cells)


def validation_cells(split: Split, store: Store, *, units: int, seed: int) -> tuple[Cells, ...]:
    """The cells that validation compares with.

    Args:
        split: Of the store's conditions.
        store: Where they are.
        units: How many to compare at most.
        seed: Chooses among more.

    Raises:
        ValueError: There is none, though cells were to validate.
    """
    if split.validation_kind == "none":
        return ()
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
    if len(cells) > units:
        draw = numpy_generator(seed, "validation units")
        chosen = draw.choice(len(cells), units, replace=False)
        cells = [cells[position] for position in sorted(chosen.tolist())]
    return tuple(cells)


def run_genes(choice: GeneChoice, store: Store, *, split: Split) -> ChosenGenes:
    """A run's genes, chosen on everything outside the test part."""
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
        choice,
        cells=int(moments.cells[known].sum()),
        linear_total=moments.sum_of("linear_total", known),
        linear_squares=moments.sum_of("linear_squares", known),
        nonzero=moments.nonzero_of(known),
        perturbed=np.array(perturbed, dtype=np.int64),
    )


def require_edges(config: GraphConfig, store: Store, *, genes: NDArray[np.int64]) -> None:
    """Refuse a list of edges that is missing or does not fit a run's genes.

    Raises:
        FileNotFoundError: No such list of edges.
        ValueError: It is not such a list, or none of its edges joins two of the run's genes.
    """
    user_graph(config, genes=vocabulary(store, genes).genes)


def vocabulary(store: Store, genes: NDArray[np.int64]) -> Vocabulary:
    """Names of the model's genes, and of all perturbations in the store."""
    return Vocabulary(
        genes=tuple(store.genes[column] for column in genes),
        perturbations=tuple(sorted({t for tokens in store.conditions.values() for t in tokens})),
        kind=store.perturbation,
    )
