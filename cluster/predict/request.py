"""What a prediction is made of: a request, looked up in model and store.

Every cell's row and place in a shard follow from the request, before the first cell is computed.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt

from cluster.runs.choices import Precision
from cluster.runs.precision import expected
from cluster.runs.provenance import model_identity, versions
from cluster.work.evaluate import model_directory
from cluster.work.sampler import columns_in
from data_store.prediction import CHUNK_CELLS
from data_store.store.reader import Store
from scdfm.flow.checkpoint import ModelCard, read_card
from scdfm.screen.conditions import CONTROL, Condition, Words
from scdfm.screen.names import nearest

SHARD = 4 * CHUNK_CELLS  # cells of a task
THREADS = 1  # of an actor: more actors use more cores, and the bytes stay the same


class PredictionRequest(BaseModel, frozen=True, extra="forbid"):
    """What to predict and where to put it."""

    model: Path
    store: str  # whose controls to start from
    conditions: tuple[str, ...] = Field(min_length=1)  # "A", "A+B"; any token order
    contexts: tuple[str, ...] | None = None  # none: all of the store's
    cells: PositiveInt = 256  # of each condition in each context
    genes: tuple[str, ...] | None = None  # none: all of the model's
    seed: NonNegativeInt = 0
    precision: Precision = "auto"
    out: Path  # .h5ad or .zarr


class Work(NamedTuple):
    """A request, looked up in model and store.

    The cells of the result stand in the order of contexts, then conditions; a unit's cells are
    consecutive.
    """

    request: PredictionRequest
    conditions: tuple[Condition, ...]
    contexts: tuple[str, ...]
    genes: NDArray[np.int64]  # ids of the genes to keep, in the order asked for
    facts: dict[str, Any]

    @property
    def units(self) -> list[tuple[str, Condition]]:
        """Context and condition of each unit, in row order."""
        return [(context, one) for context in self.contexts for one in self.conditions]

    @property
    def cells(self) -> int:
        """Rows of the result."""
        return len(self.units) * self.request.cells

    @property
    def shards(self) -> int:
        """Tasks of the result."""
        return -(-self.cells // SHARD)

    def parts(self, shard: int) -> Iterator[tuple[str, Condition, slice]]:
        """The unit parts that a shard holds: context, condition, cells of the unit."""
        each = self.request.cells
        start, stop = shard * SHARD, min((shard + 1) * SHARD, self.cells)
        for place in range(start // each, -(-stop // each)):
            context, condition = self.units[place]
            first = place * each
            yield context, condition, slice(max(start - first, 0), min(stop - first, each))


def look_up(
    request: PredictionRequest, store: Store, *, device: Literal["cpu", "cuda"] = "cpu"
) -> Work:
    """Find what a request names in model and store.

    Args:
        request: What to predict.
        store: Whose controls to start from.
        device: Where actors will compute; another one gives other bytes.

    Raises:
        ValueError: A name is unknown (names the nearest), or `out` has no known suffix.
    """
    if request.out.suffix not in (".h5ad", ".zarr"):
        raise ValueError(f"expected --out to end in .h5ad or .zarr, got {request.out.name!r}")
    request = request.model_copy(update={"model": model_directory(request.model)})
    card = read_card(request.model)
    columns_in(store, card)
    # A model that was saved without its words reads as the store at hand does.
    words = card.words if "words" in card.model_fields_set else store.words
    conditions = tuple(
        dict.fromkeys(asked_condition(text, card, words) for text in request.conditions)
    )
    contexts = request.contexts or tuple(context for context in store.controls)
    for context in contexts:
        if context not in store.controls:
            raise ValueError(
                f"{request.store} has no controls in context {context!r}; "
                f"{nearest(context, store.controls)}"
            )
    refuse_copies(
        card, cells=request.cells, controls={one: len(store.controls[one]) for one in contexts}
    )
    genes = gene_ids(request.genes, card)
    facts = {
        "request": request.model_dump(mode="json", exclude={"out"}),
        "model": model_identity(request.model, card)._asdict(),
        "store": store.fingerprint,
        "source": card.source,
        "sampling": card.sampling.model_dump(),
        "gene_blocks": {"size": card.genes_per_step, "seed": card.seed},
        "shard_cells": SHARD,
        "threads": THREADS,
        "arithmetic": {
            "device": device,
            "precision": expected(request.precision, device=device),
        },
        "versions": versions(),
    }
    return Work(request, conditions, contexts, genes, facts)


def asked_condition(text: str, card: ModelCard, words: Words) -> Condition:
    """The condition that a text names, which the model must be able to predict.

    Raises:
        ValueError: It is the control, or holds a token that the model does not know.
    """
    condition = words.parse(text)
    if not condition:
        raise ValueError(f"{text!r} is {CONTROL}, which needs no prediction; leave it out")
    card.vocabulary.ids(condition)
    return condition


def refuse_copies(card: ModelCard, *, cells: int, controls: Mapping[str, int]) -> None:
    """From c_x alone a path has one end: more cells than controls would be copies.

    Args:
        card: Of the model.
        cells: To generate of each condition in each context.
        controls: Control cells of each context.

    Raises:
        ValueError: The model starts from c_x, and a context has fewer controls than cells.
    """
    fewest = min(controls, key=lambda context: controls[context])
    if card.source == "control" and cells > controls[fewest]:
        raise ValueError(
            f"a model with source control makes one cell from each control, and context "
            f"{fewest!r} has {controls[fewest]}; ask for fewer --cells than {cells}"
        )


def gene_ids(genes: Sequence[str] | None, card: ModelCard) -> NDArray[np.int64]:
    """Ids of the genes asked for, each once; all of the model's where none are named.

    Raises:
        ValueError: The model does not have one of them (names the nearest).
    """
    if genes is None:
        return np.arange(len(card.genes))
    ids = {gene: row for row, gene in enumerate(card.genes)}
    for gene in genes:
        if gene not in ids:
            raise ValueError(
                f"the model has {len(ids)} genes and {gene!r} is not one; {nearest(gene, ids)}"
            )
    return np.array([ids[gene] for gene in dict.fromkeys(genes)], dtype=np.int64)
