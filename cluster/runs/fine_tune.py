"""`init_from` in a run file: a run that starts from another model's weights."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from cluster.runs.find_model import found_model
from cluster.runs.provenance import model_identity
from cluster.storage.places import named
from cluster.storage.reading import fetched
from data_store.store.reader import Store
from data_store.store.units import Unit
from scdfm.flow.checkpoint import ModelCard, load_model, read_card
from scdfm.flow.files import CARD, MEMBERS, SPLIT, WEIGHTS, is_ensemble
from scdfm.flow.fine_tune import match, require_same_size, start_from
from scdfm.flow.provenance import SourceFacts
from scdfm.method import DEFAULT
from scdfm.model.config import ModelConfig
from scdfm.model.paper import VelocityField
from scdfm.model.vocabulary import Vocabulary
from scdfm.screen.address import url_of
from scdfm.screen.atomic import sha256
from scdfm.screen.names import how_many
from scdfm.splits import Split

log = logging.getLogger(__name__)

SHOWN = 5  # names in a message


def source_model(path: Path) -> Path:
    """The model directory that init_from names: a model, or a run or sweep that has one.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It is none of them.
    """
    path = fetched(path)
    if not path.exists():
        raise FileNotFoundError(f"init_from: no such model: {path}")
    place = found_model(path)
    if place is not None and is_ensemble(place):
        raise ValueError(
            f"init_from: expected one model, got {path}, which holds several; name one of them, "
            f"such as {place / MEMBERS / '0'}"
        )
    if place is not None:
        return place
    raise ValueError(
        f"init_from: expected a model, or a run that has one, got {path} without {CARD}; "
        "name what `scdfm train` or `scdfm tune` exported"
    )


def require_source(path: Path, *, model: ModelConfig, perturbation: str) -> None:
    """Refuse first weights that cannot be read or do not fit.

    Args:
        path: What init_from names.
        model: Size of the network that is to start from them.
        perturbation: What the store's perturbations are, "gene" or "drug".

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It is not a complete model, or has another size or kind.
    """
    source = load_model(source_model(path)).card
    try:
        if source.perturbation != perturbation:
            raise ValueError(
                f"perturbations are {source.perturbation}s there and {perturbation}s in the "
                "store; start from a model of the same kind of screen"
            )
        if source.method != DEFAULT:
            raise ValueError(
                f"expected a model of method {DEFAULT}, got one of method {source.method}; "
                "init_from works with no other method"
            )
        require_same_size(model, source=source.model)
    except ValueError as error:
        raise ValueError(f"init_from {path}: {error}") from error


def source_weights(path: Path) -> Path | None:
    """The file of weights that init_from names; None if it is gone."""
    try:
        return source_model(path) / WEIGHTS
    except (FileNotFoundError, ValueError):
        return None


def source_facts(
    path: Path, *, vocabulary: Vocabulary, store: Store, tested: Sequence[Unit]
) -> SourceFacts:
    """Which model a run starts from, which of its tokens that one knows, and what it has seen.

    Args:
        path: What init_from names.
        vocabulary: Of the run.
        store: Of the run.
        tested: Its test units.
    """
    model = source_model(path)
    card = read_card(model)
    found = match(vocabulary, source=card.vocabulary)
    # Conditions of other cells that are called alike were measured another time.
    same = card.provenance.fingerprint == store.fingerprint or _place(
        card.provenance.store
    ) == _place(str(store.path))
    learnt, split = ("train", "validation"), Split.load(model / SPLIT)
    seen = [one for one in tested if split.part(one.condition, context=one.context) in learnt]
    return SourceFacts(
        path=named(model),
        **model_identity(model, card)._asdict(),
        **found._asdict(),
        tested=len(seen) if same else 0,
    )


def _place(store: str | None) -> str | None:
    """One spelling of where a store is."""
    return None if store is None else url_of(store) or str(Path(store).resolve())


def warn_if_seen(card: ModelCard) -> None:
    """Say that the first weights of a model have learnt from what it is tested on."""
    source = card.provenance.init_from
    if source is not None and source.tested:
        log.warning(_seen(source))


def _seen(facts: SourceFacts) -> str:
    return (
        f"init_from {facts.path} has learnt from {how_many(facts.tested, 'unit')} that this run "
        "tests, so its test scores say nothing of conditions never seen"
    )


def source_note(facts: SourceFacts) -> str:
    """What a user should know about the first weights, in one line."""
    new, rest = facts.new, len(facts.new) - SHOWN
    named = f" ({', '.join(new[:SHOWN])}{f' and {rest} more' if rest > 0 else ''})" if new else ""
    return (
        f"init_from {facts.path}: {facts.matched} tokens start from its weights, {len(new)} "
        f"are new{named}, {facts.left} of its own are not used"
        + (f"; {_seen(facts)}" if facts.tested else "")
    )


def begin_from(field: VelocityField, *, facts: SourceFacts) -> None:
    """Give a field its first weights.

    Args:
        field: With weights drawn from the run's seed.
        facts: `source_facts` of the run, from when it was prepared.

    Raises:
        ValueError: The model is gone or has changed.
    """
    path = fetched(facts.path)
    if not (path / WEIGHTS).is_file() or sha256(path / WEIGHTS) != facts.weights:
        raise ValueError(
            f"init_from {path} is no longer the model that this run was begun with; restore it, "
            "or choose another name for a run from the new model"
        )
    start_from(field, source=cast(VelocityField, load_model(path).field))
