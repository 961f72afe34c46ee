"""Several models that are used as one: members, each a whole model, and a card for all of them.

The directory has `model.json` (what they are together), `split.json` and `graph.npz` as one model
has them, and instead of weights `ensemble.json` (from which seeds, and the hash of each member's
weights) beside the models in `members/0`, `members/1`, and so on.
"""

import shutil
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError
from torch import nn

from scdfm.flow.certainty.intervals import pooled
from scdfm.flow.checkpoint import EXPORT, Model, ModelCard, load_model, read_card
from scdfm.flow.combined import FlowWeight
from scdfm.flow.files import CARD, ENSEMBLE, GRAPH, MEMBERS, SPLIT, WEIGHTS, is_ensemble, members_of
from scdfm.flow.provenance import Provenance
from scdfm.gene_graph.graph import GeneGraph
from scdfm.screen.atomic import replaced_directory, sha256
from scdfm.screen.sealed import require_sealed, seal
from scdfm.splits import Split

Kind = Literal["seeds", "folds"]


class EnsembleFacts(BaseModel, frozen=True, extra="forbid"):
    """What ensemble.json says."""

    of: Kind
    seeds: tuple[int, ...]  # of each member's run
    steps: tuple[int | None, ...]  # of each member's best round
    weights: tuple[str, ...]  # sha256 of each member's


def save_ensemble(
    members: Sequence[Path], path: Path, *, of: Kind, split: Path, seed: int, facts: Provenance
) -> None:
    """Write the models as one, replacing an older one at once or not at all.

    Args:
        members: Directories of at least two models of the same cells, genes and settings.
        path: Where.
        of: What the members differ in.
        split: File of the split of all of them together.
        seed: Of the whole run.
        facts: Provenance of the whole; the rest is that of the first member.

    Raises:
        ValueError: A member is damaged, or they do not belong together.
    """
    cards = [read_card(member) for member in members]
    card = _together(cards, of=of, seed=seed, facts=facts)
    told = EnsembleFacts(
        of=of,
        seeds=tuple(one.seed for one in cards),
        steps=tuple(one.provenance.step for one in cards),
        weights=tuple(sha256(member / WEIGHTS) for member in members),
    )
    with replaced_directory(path) as directory:
        for number, member in enumerate(members):
            shutil.copytree(member, directory / MEMBERS / str(number))
        shutil.copy(members[0] / GRAPH, directory / GRAPH)
        shutil.copy(split, directory / SPLIT)
        (directory / CARD).write_text(card.model_dump_json(indent=1), encoding="utf-8")
        (directory / ENSEMBLE).write_text(told.model_dump_json(indent=1), encoding="utf-8")
        seal(directory)


def read_ensemble(path: Path) -> EnsembleFacts:
    """What an ensemble's directory says of its members.

    Raises:
        ValueError: It is damaged, or a member is missing or another one.
    """
    remedy = "restore it, or train the run again under another name"
    require_sealed(path, only=(ENSEMBLE,), remedy=remedy)
    try:
        facts = EnsembleFacts.model_validate_json((path / ENSEMBLE).read_bytes())
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise ValueError(f"{path / ENSEMBLE} is damaged at {where}; {remedy}") from None
    found = members_of(path)
    if [one.name for one in found] != [str(number) for number in range(len(facts.weights))]:
        raise ValueError(
            f"expected {len(facts.weights)} members in {path / MEMBERS}, got {len(found)}; {remedy}"
        )
    for member, weights in zip(found, facts.weights, strict=True):
        if not (member / WEIGHTS).is_file() or sha256(member / WEIGHTS) != weights:
            raise ValueError(f"{member} is not the member that {ENSEMBLE} names; {remedy}")
    return facts


def require_whole(path: Path) -> None:
    """Make sure that all files of a model, and of its members, are as they were written.

    Raises:
        ValueError: One is missing or damaged; names it.
    """
    require_sealed(path, remedy=EXPORT)
    if is_ensemble(path):
        read_ensemble(path)
        for member in members_of(path):
            require_sealed(member, remedy=EXPORT)


def open_model(path: Path) -> Model:
    """Read a model's directory, be it one model or several; then its field holds those of all.

    Raises:
        ValueError: It, or a member, is missing or damaged.
    """
    if not is_ensemble(path):
        return load_model(path)
    read_ensemble(path)
    members = tuple(load_model(member) for member in members_of(path))
    return Model(
        field=nn.ModuleList([member.field for member in members]),
        card=read_card(path),
        graph=GeneGraph.load(path / GRAPH),
        split=Split.load(path / SPLIT),
        base=members[0].base,
        members=members,
    )


def _together(cards: Sequence[ModelCard], *, of: Kind, seed: int, facts: Provenance) -> ModelCard:
    """One card of all members."""
    first = cards[0]
    for number, card in enumerate(cards[1:], start=1):
        for name in ("genes", "perturbations", "method", "source", "sampling", "evaluation_genes"):
            if getattr(card, name) != getattr(first, name):
                raise ValueError(
                    f"expected members that differ in nothing but their {of}, got other "
                    f"{name.replace('_', ' ')} in member {number}; train them by one run"
                )
    weights = [card.mean for card in cards if card.mean is not None]
    known = [card.interval for card in cards if card.interval is not None]
    return first.model_copy(
        update={
            "seed": seed,
            "mean": _mean(weights) if weights else None,
            # A member's errors are those of one model; what members differ by comes on top.
            "interval": pooled(known, apart=of == "folds"),
            "trained_contexts": _contexts(cards),
            "provenance": first.provenance.with_facts(facts),
        }
    )


def _contexts(cards: Sequence[ModelCard]) -> tuple[str, ...] | None:
    """Those of the training units of any member; None where a member does not say."""
    each = [card.trained_contexts for card in cards]
    known = [one for one in each if one is not None]
    return tuple(sorted({*chain(*known)})) if len(known) == len(each) else None


def _mean(weights: Sequence[FlowWeight]) -> FlowWeight:
    """The mean weight, and the mean of each bound of its members' intervals.

    Members are weighed on the same or like units, so their errors hang together by an unknown part.
    The spread of a mean is at most the mean of the spreads, whatever that part is: the interval may
    be too wide, not too narrow. There is none where a member has none.
    """
    known = [one.interval for one in weights if one.interval is not None]
    bounds = tuple(sum(ends) / len(ends) for ends in zip(*known, strict=True))
    return FlowWeight(
        flow=sum(one.flow for one in weights) / len(weights),
        units=max(one.units for one in weights),
        interval=(bounds[0], bounds[1]) if len(known) == len(weights) else None,
        guess=any(one.guess for one in weights),
        given=all(one.given for one in weights),
    )
