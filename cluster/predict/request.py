"""The request for a prediction, looked up in model and store.

Every cell's row and place in a shard follow from the request, before the first cell is computed.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cluster.predict.identity import Identity, Origin, Provenance, hashed
from cluster.predict.options import PredictionRequest
from cluster.runs.find_model import model_directory
from cluster.runs.precision import expected
from cluster.runs.provenance import model_identity, versions
from cluster.work.sampler import columns_in, refuse_copies
from data_store.prediction import CHUNK_CELLS
from data_store.store.reader import Store
from scdfm.flow.certainty.ensemble import require_whole
from scdfm.flow.checkpoint import ModelCard, read_card
from scdfm.flow.files import BASE, GRAPH, SPLIT, WEIGHTS, is_ensemble, members_of
from scdfm.method import DEFAULT
from scdfm.screen.atomic import sha256
from scdfm.screen.conditions import CONTROL, Condition, Words
from scdfm.screen.names import nearest
from scdfm.splits import Split
from scdfm.splits.distance import NONE, Distance, Trained

log = logging.getLogger(__name__)

SHARD = 4 * CHUNK_CELLS  # cells of a task
THREADS = 1  # of an actor: more actors use more cores, and the bytes stay the same
COMPUTING = ("scdfm", "torch", "numpy")  # packages whose version decides a value


class Unit(NamedTuple):
    """Consecutive rows of the result: cells of one condition, or all controls, of a context."""

    context: str
    condition: Condition  # () for controls that are written with the predictions
    label: str  # as the store writes it
    cells: int
    distance: Distance = NONE  # from what the model was trained on


class Part(NamedTuple):
    """Cells of a unit that one shard holds."""

    unit: Unit
    cells: slice


class Work(NamedTuple):
    """A request, looked up in model and store.

    Units are in the order of contexts, then conditions; controls, if asked for, are last.
    """

    request: PredictionRequest
    units: tuple[Unit, ...]
    genes: NDArray[np.int64]  # ids of the genes to keep, in the order asked for
    provenance: Provenance

    @property
    def identity(self) -> Identity:
        """What decides rows and values."""
        return self.provenance.identity

    @property
    def cells(self) -> int:
        """Rows of the result."""
        return sum(unit.cells for unit in self.units)

    @property
    def shards(self) -> int:
        """Tasks of the result."""
        return -(-self.cells // SHARD)

    def parts(self, shard: int) -> Iterator[Part]:
        """What a shard holds, in row order."""
        start, stop = shard * SHARD, (shard + 1) * SHARD
        first = 0
        for unit in self.units:
            begin, end = max(start - first, 0), min(stop - first, unit.cells)
            if begin < end:
                yield Part(unit, slice(begin, end))
            first += unit.cells


def look_up(
    request: PredictionRequest, store: Store, *, device: Literal["cpu", "cuda"] = "cpu"
) -> Work:
    """Find what a request names in model and store.

    Args:
        request: What to predict.
        store: Whose controls to start from.
        device: Where actors will compute; another one gives other bytes.

    Raises:
        ValueError: A name is unknown (names the nearest), the model is damaged, or `out` has no
            known suffix.
    """
    if request.out.suffix not in (".h5ad", ".zarr"):
        raise ValueError(f"expected --out to end in .h5ad or .zarr, got {request.out.name!r}")
    path = model_directory(request.model)
    # An actor would find damage only after Ray has started and files were laid out.
    require_whole(path)
    card = read_card(path)
    columns_in(store, card)
    conditions, contexts = _conditions(request, card, store), _contexts(request, store)
    refuse_copies(
        card, cells=request.cells, controls={one: len(store.controls[one]) for one in contexts}
    )
    genes = gene_ids(request.genes, card)
    flow = card.method == DEFAULT
    identity = Identity(
        store=store.fingerprint,
        model=_model_hash(path, card),
        conditions=conditions,
        contexts=contexts,
        cells=request.cells,
        genes=hashed(*(card.genes[gene] for gene in genes)),
        controls=request.controls,
        seed=request.seed,
        interval=request.interval,
        source=card.source if flow else None,
        sampling=card.sampling if flow else None,
        batch=None if flow else card.sampling.batch,
        gene_block=card.genes_per_step,
        block_seed=card.seed,
        shard_cells=SHARD,
        threads=THREADS,
        device=device,
        precision=expected(request.precision, device=device),
        versions={package: versions()[package] for package in COMPUTING},
    )
    model = model_identity(path, card)
    trained = trained_of(card, Split.load(path / SPLIT), words=words_of(card, store))
    provenance = Provenance(
        identity=identity,
        origin=Origin(
            model=str(request.model), store=str(request.store), run=model.run, step=model.step
        ),
        unseen=trained.unseen(conditions),
        versions=versions(),
        mean=card.mean_in_words,
    )
    units = _units(identity, store, trained)
    return Work(request.model_copy(update={"model": path}), units, genes, provenance)


def _conditions(request: PredictionRequest, card: ModelCard, store: Store) -> tuple[Condition, ...]:
    words = words_of(card, store)
    asked = (asked_condition(text, card, words) for text in request.conditions)
    return tuple(dict.fromkeys(asked))


def _contexts(request: PredictionRequest, store: Store) -> tuple[str, ...]:
    contexts = tuple(dict.fromkeys(request.contexts or store.controls))
    for context in contexts:
        if context not in store.controls:
            raise ValueError(
                f"{request.store} has no controls in context {context!r}; "
                f"{nearest(context, store.controls)}"
            )
    return contexts


def _units(identity: Identity, store: Store, trained: Trained) -> tuple[Unit, ...]:
    predicted = [
        Unit(
            context,
            condition,
            store.words.spell(condition),
            identity.cells,
            trained.distance(condition, context=context),
        )
        for context in identity.contexts
        for condition in identity.conditions
    ]
    controls = [
        Unit(context, (), store.words.spell(()), len(store.controls[context]))
        for context in identity.contexts
        if identity.controls
    ]
    return (*predicted, *controls)


def _model_hash(path: Path, card: ModelCard) -> str:
    """The hash of what decides a model's cells: weights, graph, network, and its means' base."""
    if is_ensemble(path):
        return hashed(*(_model_hash(one, read_card(one)) for one in members_of(path)))
    network = card.model.model_dump_json(exclude_defaults=True)
    if card.method != DEFAULT:
        network = json.dumps([card.method, card.settings], sort_keys=True)
    base = () if card.mean is None else (sha256(path / BASE), str(card.mean.flow))
    return hashed(sha256(path / WEIGHTS), sha256(path / GRAPH), network, *base)


def trained_of(card: ModelCard, split: Split, *, words: Words) -> Trained:
    """What a model was trained on."""
    # A context with controls alone trains nothing; cards of before do not tell them apart.
    known = card.contexts if card.trained_contexts is None else card.trained_contexts
    return Trained(split, words, contexts=known)


def warn_of_unseen(tokens: Sequence[str]) -> None:
    """Say that some perturbations were in no training cell."""
    if tokens:
        log.warning(
            "no training cell had %s: what the model learnt of other perturbations is all it "
            "goes by; such cells are flagged in obs column 'unseen'",
            ", ".join(tokens),
        )


def words_of(card: ModelCard, store: Store) -> Words:
    """How conditions are read for a model and a store, whose labels are known, too."""
    # A model that was saved without its words reads as the store at hand does.
    own = card.words if "words" in card.model_fields_set else store.words
    return own.knowing(store.words.known)


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


def gene_ids(genes: Sequence[str] | None, card: ModelCard) -> NDArray[np.int64]:
    """Ids of the genes asked for, each once; all of the model's if none are named.

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
