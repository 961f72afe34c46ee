"""Models and training states on disk, without pickle.

Weights are safetensors, facts are JSON, the graph is npz, and the optimiser's state is loaded with
`weights_only=True`. A directory is written under another name and then renamed, so a directory that
exists is complete; its `manifest.json` holds the hash of every file, so a flipped bit is found.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from torch import nn

from scdfm.flow.certainty.intervals import IntervalFactor
from scdfm.flow.combined import FlowWeight
from scdfm.flow.config import SamplingConfig, Source
from scdfm.flow.files import BASE, CARD, GRAPH, MEMBERS, SPLIT, WEIGHTS, is_ensemble
from scdfm.flow.loop.state import OptimiserState, TrainingState
from scdfm.flow.provenance import Provenance
from scdfm.flow.sampling import canonical_blocks
from scdfm.gene_graph.graph import GeneGraph
from scdfm.method import DEFAULT, METHODS, settings_of
from scdfm.metrics.shrunken import Base, RuleError
from scdfm.model.config import ModelConfig
from scdfm.model.vocabulary import Vocabulary
from scdfm.screen.atomic import replaced_directory
from scdfm.screen.conditions import USUAL, Words
from scdfm.screen.sealed import require_sealed, seal
from scdfm.screen.untyped import Unchecked
from scdfm.splits import Split

PROGRESS, OPTIMISER = "progress.json", "optimiser.pt"
# Parts of a training state that a run may lack.
MEANS: tuple[Literal["averaged", "rounds"], ...] = ("averaged", "rounds")
EXPORT = "restore it, or export the model again"

Kept = TypeVar("Kept")


class ModelCard(BaseModel, frozen=True, extra="forbid"):
    """What a model is, besides its weights and its graph."""

    schema_version: Literal[1] = 1
    method: Annotated[str, METHODS] = DEFAULT
    settings: Unchecked = {}  # of another method than flow, which has the three sections below
    model: ModelConfig
    source: Source
    sampling: SamplingConfig
    genes: tuple[str, ...]
    perturbations: tuple[str, ...]
    perturbation: Literal["gene", "drug"]
    contexts: tuple[str, ...]  # of the store, those with controls alone among them
    trained_contexts: tuple[str, ...] | None = (
        None  # of training units; None: of before it was kept
    )
    evaluation_genes: tuple[str, ...]
    genes_per_step: int  # size of the blocks of genes that are integrated together
    seed: int  # of the run; fixes the canonical blocks
    words: Words = USUAL  # of the store; models of before they were kept have the usual ones
    mean: FlowWeight | None = None  # the flow's beside the base, where `sampling.mean` has one
    interval: IntervalFactor | None = None  # how wide intervals must be, by validation units
    normalisation: str = "log1p(counts / library size * 10000)"
    provenance: Provenance

    @property
    def vocabulary(self) -> Vocabulary:
        """Names the model knows."""
        return Vocabulary(
            genes=self.genes, perturbations=self.perturbations, kind=self.perturbation
        )

    @property
    def mean_in_words(self) -> str:
        """How means are made: "shrunken base + 0.24 x flow, shape 0.25"; empty without a base."""
        if self.mean is None:
            return ""
        return (
            f"{self.sampling.mean.base} base + {self.mean.flow:.2g} x flow, shape "
            f"{self.sampling.shape(self.source):.2g}"
        )

    def blocks(self, *, which: Literal["all", "evaluation"]) -> list[NDArray[np.int64]]:
        """Gene ids that are integrated together, by block.

        Blocks are the model's own: a caller's gene list selects from them and never reshapes
        them.
        """
        if which == "all":
            return canonical_blocks(len(self.genes), size=self.genes_per_step, seed=self.seed)
        row = {gene: position for position, gene in enumerate(self.genes)}
        chosen = np.array([row[gene] for gene in self.evaluation_genes], dtype=np.int64)
        cuts = canonical_blocks(len(chosen), size=self.genes_per_step, seed=self.seed)
        return [chosen[cut] for cut in cuts]


@dataclass(frozen=True)
class Model:
    """A trained network with all that is needed to use it."""

    field: nn.Module
    card: ModelCard
    graph: GeneGraph
    split: Split
    base: Base | None = None  # where `sampling.mean` has one
    members: tuple["Model", ...] = ()  # of an ensemble, whose field holds theirs


def save_model(
    model: Model, path: Path, *, weights: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Write a model directory, replacing an older one at once or not at all.

    Args:
        model: What to write.
        path: Where.
        weights: A copy of the field's, where training goes on meanwhile; none: the field's own.
    """
    with replaced_directory(path) as directory:
        _save_tensors(weights or model.field.state_dict(), directory / WEIGHTS)
        model.graph.save(directory / GRAPH)
        model.split.save(directory / SPLIT)
        if model.base is not None:
            save_arrays(model.base.arrays(), directory / BASE)
        (directory / CARD).write_text(model.card.model_dump_json(indent=1), encoding="utf-8")
        seal(directory)


def load_model(path: Path) -> Model:
    """Read the directory of one model; `open_model` of `certainty.ensemble` reads several, too.

    Raises:
        ValueError: Not a model directory, an ensemble's, a part is missing or damaged, or it comes
            from another version.
    """
    if is_ensemble(path):
        raise ValueError(
            f"expected one model, got {path}, which holds several; name one of them, such as "
            f"{path / MEMBERS / '0'}"
        )
    card = read_card(path)
    combined = card.sampling.mean.combined
    for part in (WEIGHTS, GRAPH, SPLIT, *([BASE] if combined else [])):
        if not (path / part).is_file():
            raise ValueError(f"{path} is not a complete model: {part} is missing; export it again")
    require_sealed(path, remedy=EXPORT)
    graph, split = GeneGraph.load(path / GRAPH), Split.load(path / SPLIT)
    field = METHODS[card.method].build(settings_of(card), vocabulary=card.vocabulary, graph=graph)
    try:
        field.load_state_dict(load_file(path / WEIGHTS))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"{path / WEIGHTS} does not hold this model's weights; export it again"
        ) from error
    field.eval()
    if combined and card.mean is None:
        raise ValueError(
            f"{path / CARD} lacks the weight of the flow beside its base (mean); export it again"
        )
    base = read_base(path) if combined else None
    return Model(field=field, card=card, graph=graph, split=split, base=base)


def read_base(path: Path) -> Base:
    """Read the base of a model directory that has one.

    Raises:
        ValueError: It is damaged, or of a newer version.
    """
    try:
        return Base.from_arrays(load_arrays(path / BASE))
    except RuleError as error:
        raise ValueError(f"cannot use {path}: {error}") from error
    except (SafetensorError, LookupError, ValueError) as error:
        raise ValueError(
            f"{path / BASE} does not hold a model's base; export the model again"
        ) from error


def read_card(path: Path) -> ModelCard:
    """Read only what a model is.

    Raises:
        ValueError: Not a model directory, or one of another version.
    """
    file = path / CARD
    if not file.is_file():
        raise ValueError(
            f"{path} is not a model: expected a directory with {CARD}, as `scdfm train` and "
            "`scdfm tune` export it"
        )
    require_sealed(path, only=(CARD,), remedy=EXPORT)
    try:
        return ModelCard.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{file} is not a model card of this version: {where}: {first['msg']}"
        ) from error


def copied(state: Kept) -> Kept:
    """A training state, or a part of it, on CPU; it does not change while training goes on."""

    def copy(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.detach().to("cpu", copy=True)
        if isinstance(value, dict):
            return {name: copy(inner) for name, inner in value.items()}
        return [copy(inner) for inner in value] if isinstance(value, list) else value

    made: Kept = copy(state)
    return made


def save_state(state: TrainingState, path: Path) -> None:
    """Write a training state (`Trainer.state`) as a directory."""
    with replaced_directory(path) as directory:
        _save_tensors(state["model"], directory / WEIGHTS)
        for part in MEANS:
            if tensors := state[part]:
                _save_tensors(tensors, directory / f"{part}.safetensors")
        _save_nested(state["optimiser"], directory / OPTIMISER)
        (directory / PROGRESS).write_text(json.dumps(state["progress"]))
        seal(directory)


def load_state(path: Path) -> TrainingState:
    """Read a training state for `Trainer.restore`, on CPU whatever device saved it.

    Raises:
        ValueError: A part is missing or damaged.
    """
    remedy = f"delete {path.parent} to train from the first step again"
    require_sealed(path, remedy=remedy)
    averaged, rounds = (path / f"{part}.safetensors" for part in MEANS)
    try:
        return {
            "model": load_file(path / WEIGHTS),
            "averaged": load_file(averaged) if averaged.is_file() else None,
            "rounds": load_file(rounds) if rounds.is_file() else None,
            "optimiser": torch.load(path / OPTIMISER, weights_only=True, map_location="cpu"),
            "progress": json.loads((path / PROGRESS).read_text()),
        }
    except (
        SafetensorError,
        UnpicklingError,
        LookupError,  # of torch.load, which follows the bytes it finds
        RuntimeError,
        OSError,
        ValueError,
    ) as error:
        raise ValueError(f"{path} is not a complete training state; {remedy}") from error


def _save_tensors(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write named tensors.

    Raises:
        OSError: As where the disk is full.
        RuntimeError: The library could not for another reason.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(plain, path)
    except SafetensorError as error:  # which is no OSError, nor a RuntimeError
        # It tells the system's number in words only.
        if (found := re.search(r"\(os error (\d+)\)", str(error))) is not None:
            number = int(found.group(1))
            raise OSError(number, os.strerror(number), str(path)) from error
        raise RuntimeError(str(error)) from error


def _save_nested(value: OptimiserState, path: Path) -> None:
    """Write nested values that hold tensors.

    Raises:
        OSError: As where the disk is full.
    """
    with path.open("wb") as file:
        try:
            torch.save(value, file)
        except RuntimeError as error:
            # Torch then speaks of positions in its file; what the disk has said comes before.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
