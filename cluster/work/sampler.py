"""Apply a network to control cells: cells of a condition.

Work is cut into batches of a fixed number of cells, the last one filled up to tiles, so that a cell
has the same bytes for any number of actors, and of cells that are asked for.
"""

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cluster.work.controls import Controls
from data_store.store.reader import Store
from scdfm.flow.checkpoint import ModelCard
from scdfm.flow.combined import Calibrated
from scdfm.flow.sampling import Cells
from scdfm.method import DEFAULT, METHODS, Method, settings_of
from scdfm.screen.conditions import Condition, name
from scdfm.screen.names import nearest
from scdfm.screen.randomness import numpy_generator

TILE = 8  # cells; rows that kernels of matrix products take together, or a multiple


class Start(NamedTuple):
    """Which control cells a prediction starts from."""

    rows: NDArray[np.int64]  # numbers of the control cells, (cells,)
    others: NDArray[np.int64]  # another control for each of them, of the same context
    replicates: NDArray[np.int64]  # how often the row was used before, (cells,)
    places: NDArray[np.int64]  # of the cell among all of its unit, from 0, (cells,)
    context: str = ""

    def some(self, cells: slice | NDArray[np.bool_ | np.int64]) -> "Start":
        """The same for some of the cells."""
        return Start(
            self.rows[cells],
            self.others[cells],
            self.replicates[cells],
            self.places[cells],
            self.context,
        )


@dataclass(frozen=True)
class Sampler:
    """A network, the genes that are wanted, and how cells are generated.

    Attributes:
        method: What the network was built by.
        field: The network.
        settings: Of the method.
        blocks: Gene ids that are generated together.
        batch: Cells that are generated together.
        seed: Of the prediction.
        products: Number format of products under autocast; None: as the weights are.
    """

    method: Method
    field: nn.Module
    settings: Any
    blocks: Sequence[NDArray[np.int64]]
    batch: int
    seed: int
    products: torch.dtype | None = None

    @property
    def genes(self) -> NDArray[np.int64]:
        """Gene ids of the output, rising."""
        return np.sort(np.concatenate(self.blocks))

    def over(self, blocks: Sequence[NDArray[np.int64]]) -> Self:
        """The same sampler for other genes."""
        return replace(self, blocks=blocks)

    def of(self, network: nn.Module) -> "Sampler":
        """The same sampler of another network."""
        return replace(self, field=network)

    @property
    def flow(self) -> "Sampler":
        """The network's own cells, without a base."""
        return self

    def calibrated(
        self, controls: Controls, *, context: str, condition: Condition
    ) -> Calibrated | None:
        """The mean change of a unit, where it is known better than by cells; none here."""
        return None

    def cells(
        self, controls: Controls, start: Start, *, condition: Condition
    ) -> NDArray[np.float32]:
        """Generate one cell from each control row, (cells, genes); at most a batch."""
        return self.generated(controls, start, condition=condition).cells

    def generated(self, controls: Controls, start: Start, *, condition: Condition) -> "Generated":
        """Generate one cell from each control row, beside these; at most a batch."""
        asked = len(start.rows)
        start = start.some(_in_tiles(asked))
        first = controls.expression(start.rows)
        apart = self.method.apart(self.settings)
        cells = self.method.generate(
            self.field,
            Cells(
                control=controls.expression(start.others) if apart else first,
                start=first,
                identity=start.rows.tolist(),
                replicate=start.replicates.tolist(),
                context=start.context,
            ),
            settings=self.settings,
            condition=condition,
            blocks=self.blocks,
            seed=self.seed,
            products=self.products,
        )
        rising = np.argsort(np.concatenate(self.blocks))
        return Generated(cells=cells[:asked, rising], start=first[:asked, self.genes])

    def batches(
        self, controls: Controls, start: Start, *, condition: Condition
    ) -> Iterator[NDArray[np.float32]]:
        """Generate one cell from each control row, a batch at a time, each (batch, genes)."""
        for some in self.batches_with_starts(controls, start, condition=condition):
            yield some.cells

    def batches_with_starts(
        self, controls: Controls, start: Start, *, condition: Condition
    ) -> Iterator["Generated"]:
        """The same beside the control cells."""
        for first in range(0, len(start.rows), self.batch):
            part = slice(first, first + self.batch)
            yield self.generated(controls, start.some(part), condition=condition)


def _in_tiles(cells: int) -> NDArray[np.int64]:
    """Places of the cells, the last one repeated until they fill tiles.

    A product of matrices takes the rows that are left over of a tile, or of a small batch, through
    another sum, so that a cell's last bits would depend on how many are generated with it.
    """
    return np.minimum(np.arange(-(-cells // TILE) * TILE), cells - 1)


class Generated(NamedTuple):
    """Some generated cells, and the control cells they started from."""

    cells: NDArray[np.float32]  # (cells, genes)
    start: NDArray[np.float32]  # (cells, genes)
    flow: NDArray[np.float32] | None = None  # by the flow alone, where a base is combined with it

    def on(self, genes: NDArray[np.int64]) -> "Generated":
        """The same on some of the genes."""
        flow = None if self.flow is None else self.flow[:, genes]
        return Generated(self.cells[:, genes], self.start[:, genes], flow)


def starting_cells(
    controls: NDArray[np.int64],
    *,
    condition: Condition,
    cells: int,
    seed: int,
    context: str = "",
) -> Start:
    """Choose among the control cells of a context: without repeats while there are enough.

    The choice depends on (seed, condition) and is a prefix of the choice of more cells.
    """
    spoken = zlib.crc32(name(condition).encode())
    order = numpy_generator(seed, "control cells", spoken).permutation(len(controls))
    place, count = np.arange(cells), len(controls)
    # Every round over the controls pairs each with another partner, never with itself.
    apart = 1 + place // count % max(1, count - 1)
    return Start(
        rows=controls[order[place % count]],
        others=controls[order[(place + apart) % count]],
        replicates=place // count,
        places=place,
        context=context,
    )


def refuse_copies(card: ModelCard, *, cells: int, controls: Mapping[str, int]) -> None:
    """Refuse more cells than controls where each control gives one cell: they would be copies.

    Args:
        card: Of the model.
        cells: To generate of each condition in each context.
        controls: Control cells of each context.

    Raises:
        ValueError: The model starts from c_x, and a context has fewer controls than cells.
    """
    fewest = min(controls, key=lambda context: controls[context])
    if METHODS[card.method].one_end(settings_of(card)) and cells > controls[fewest]:
        kind = f"source {card.source}" if card.method == DEFAULT else f"method {card.method}"
        raise ValueError(
            f"a model with {kind} makes one cell from each control, and context {fewest!r} has "
            f"{controls[fewest]}, got --cells {cells}; ask for at most {controls[fewest]}"
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
    return gene_columns(card.genes, store.genes, where=str(store.path))


def gene_columns(genes: Sequence[str], measured: Sequence[str], *, where: str) -> NDArray[np.int64]:
    """Where measured genes hold those of a model, (model genes,).

    Raises:
        ValueError: A gene of the model is not measured, or comes twice.
    """
    column = {gene: position for position, gene in enumerate(measured)}
    missing = [gene for gene in genes if gene not in column]
    if missing:
        raise ValueError(
            f"{len(missing)} of the model's {len(genes)} genes are not in {where}, "
            f"first {missing[0]!r} ({nearest(missing[0], measured)}); use cells that measure them"
        )
    if len(column) < len(measured):
        twice = sorted({*genes} & {one for one, n in Counter(measured).items() if n > 1})
        if twice:
            raise ValueError(
                f"{len(twice)} of the model's genes come twice in {where}, first {twice[0]!r}; "
                "make gene names unique"
            )
    return np.array([column[gene] for gene in genes], dtype=np.int64)
