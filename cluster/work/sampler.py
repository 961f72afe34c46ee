"""A velocity field at work on a store's controls: cells of a condition, or only their mean.

Work is cut into batches of a fixed number of cells, so that a prediction has the same bytes
however many actors share it.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from data_store.store.reader import Store
from data_store.stream import Cells as StoreCells
from scdfm.flow.checkpoint import ModelCard
from scdfm.flow.path import Source
from scdfm.flow.sampling import Cells, SamplingConfig, generate
from scdfm.metrics import Pseudobulks
from scdfm.model.paper import VelocityField
from scdfm.screen.conditions import Condition, name, nearest
from scdfm.screen.randomness import numpy_generator


class Start(NamedTuple):
    """Which control cells a prediction starts from."""

    rows: NDArray[np.int64]  # of the store, (cells,)
    others: NDArray[np.int64]  # another control for each of them, of the same context
    replicates: NDArray[np.int64]  # how often the row was used before, (cells,)

    def some(self, cells: slice) -> "Start":
        """The same for a run of the cells."""
        return Start(self.rows[cells], self.others[cells], self.replicates[cells])


@dataclass(frozen=True)
class Sampler:
    """A field, the genes it is asked for, and how it is integrated.

    Attributes:
        field: The velocity field.
        columns: Where the store keeps the model's genes, (model genes,).
        blocks: Gene ids that are integrated together.
        source: Where paths start.
        config: Solver and batch.
        seed: Of the prediction.
        products: Number format of the field's products under autocast; none: as the weights are.
    """

    field: VelocityField
    columns: NDArray[np.int64]
    blocks: Sequence[NDArray[np.int64]]
    source: Source
    config: SamplingConfig
    seed: int
    products: torch.dtype | None = None

    @property
    def genes(self) -> NDArray[np.int64]:
        """Gene ids of the output, rising."""
        return np.sort(np.concatenate(self.blocks))

    def over(self, blocks: Sequence[NDArray[np.int64]]) -> Self:
        """The same sampler for other genes."""
        return replace(self, blocks=blocks)

    def cells(self, store: Store, start: Start, *, condition: Condition) -> NDArray[np.float32]:
        """Generate one cell from each control row, (cells, genes); at most a batch."""
        first = self._read(store, start.rows)
        apart = self.source == "other_control"
        generated = generate(
            self.field,
            Cells(
                control=self._read(store, start.others) if apart else first,
                start=first,
                identity=start.rows.tolist(),
                replicate=start.replicates.tolist(),
            ),
            condition=condition,
            blocks=self.blocks,
            source=self.source,
            config=self.config,
            seed=self.seed,
            products=self.products,
        )
        return generated[:, np.argsort(np.concatenate(self.blocks))]

    def _read(self, store: Store, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Expression of control rows in any order, repeats too, (cells, model genes)."""
        each, inverse = np.unique(rows, return_inverse=True)
        expression: NDArray[np.float32] = store.expression_at(each, genes=self.columns)[inverse]
        return expression

    def batches(
        self, store: Store, *, context: str, condition: Condition, cells: int
    ) -> Iterator[NDArray[np.float32]]:
        """Generate `cells` cells of a unit, a batch at a time, each (batch, genes)."""
        start = starting_cells(
            store, context=context, condition=condition, cells=cells, seed=self.seed
        )
        for first in range(0, cells, self.config.batch):
            part = slice(first, first + self.config.batch)
            yield self.cells(store, start.some(part), condition=condition)

    def mean(
        self, store: Store, *, context: str, condition: Condition, cells: int
    ) -> NDArray[np.float64]:
        """Mean over generated cells of a unit, (genes,)."""
        total = np.zeros(len(self.genes))
        for batch in self.batches(store, context=context, condition=condition, cells=cells):
            total += batch.sum(axis=0, dtype=np.float64)
        return total / cells


def starting_cells(
    store: Store, *, context: str, condition: Condition, cells: int, seed: int
) -> Start:
    """Choose control cells of a context: without repeats while there are enough.

    The choice depends on (seed, condition) and is a prefix of the choice of more cells.
    """
    control = store.controls[context]
    spoken = zlib.crc32(name(condition).encode())
    order = numpy_generator(seed, "control cells", spoken).permutation(len(control))
    place, count = np.arange(cells), len(control)
    # Every round over the controls pairs each with another partner, never with itself.
    apart = 1 + place // count % max(1, count - 1)
    return Start(
        rows=control.start + order[place % count],
        others=control.start + order[(place + apart) % count],
        replicates=place // count,
    )


def columns_in(store: Store, card: ModelCard) -> NDArray[np.int64]:
    """Where a store keeps the genes of a model, (model genes,).

    Raises:
        ValueError: Genes of the model are not in the store; or its perturbations are of another
            kind.
    """
    if store.perturbation != card.perturbation:
        raise ValueError(
            f"the model was trained on {card.perturbation} perturbations and {store.path} holds "
            f"{store.perturbation} perturbations; use a store of the model's kind"
        )
    column = {gene: position for position, gene in enumerate(store.genes)}
    missing = [gene for gene in card.genes if gene not in column]
    if missing:
        raise ValueError(
            f"{len(missing)} of the model's {len(card.genes)} genes are not in {store.path}, "
            f"first {missing[0]!r} ({nearest(missing[0], store.genes)}); ingest a file that "
            "measures them"
        )
    return np.array([column[gene] for gene in card.genes], dtype=np.int64)


def unit_means(
    store: Store, cells: Sequence[StoreCells], *, columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean expression of some units' cells, (units, genes)."""
    return np.stack([_mean(store, part, columns=columns) for part in cells])


def control_means(
    store: Store, contexts: Sequence[str], *, columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean expression of the controls of each context, (contexts, genes)."""
    place = {unit: position for position, unit in enumerate(store.units)}
    controls = [store.controls[context] for context in contexts]
    return unit_means(
        store, [StoreCells(place[u], u.start, u.stop) for u in controls], columns=columns
    )


def _mean(store: Store, cells: StoreCells, *, columns: NDArray[np.int64]) -> NDArray[np.float64]:
    unit = store.units[cells.unit]
    if (cells.start, cells.stop) == (unit.start, unit.stop):
        whole: NDArray[np.float64] = store.moments.row("total", cells.unit)[columns] / len(unit)
        return whole
    part = store.expression(cells.start, cells.stop, genes=columns)
    mean: NDArray[np.float64] = part.mean(axis=0, dtype=np.float64)
    return mean


def pseudobulks(
    sampler: Sampler, store: Store, cells: Sequence[StoreCells], *, generated: Sequence[int]
) -> Pseudobulks:
    """Predict units and set them beside the real ones and their controls.

    Args:
        sampler: What predicts.
        store: Where controls and real cells are.
        cells: The real cells of each unit.
        generated: Cells to generate for each unit.
    """
    units = [store.units[part.unit] for part in cells]
    columns = sampler.columns[sampler.genes]
    predicted = [
        sampler.mean(
            store,
            context=unit.context,
            condition=unit.tokens,
            cells=count,
        )
        for unit, count in zip(units, generated, strict=True)
    ]
    contexts = tuple(unit.context for unit in units)
    return Pseudobulks(
        contexts=contexts,
        conditions=tuple(unit.condition for unit in units),
        genes=tuple(store.genes[column] for column in columns),
        predicted=np.stack(predicted),
        real=unit_means(store, cells, columns=columns),
        control=control_means(store, contexts, columns=columns),
    )
