"""What a run or a model is, in plain values for `scdfm inspect`."""

from pathlib import Path
from typing import TypedDict

from cluster.runs.directory import RunDirectory
from cluster.runs.history.holder import holder
from cluster.runs.whole.unfinished import untrained
from cluster.storage.places import named
from scdfm.flow.certainty.ensemble import read_ensemble, require_whole
from scdfm.flow.checkpoint import ModelCard, read_base, read_card
from scdfm.flow.files import GRAPH, SPLIT, WEIGHTS, is_ensemble, members_of
from scdfm.gene_graph.graph import GeneGraph
from scdfm.method import DEFAULT
from scdfm.screen.untyped import JsonObject
from scdfm.splits import Split
from scdfm.splits.told import validation_in_words


class SplitDescription(TypedDict):
    """A split, in numbers."""

    kind: str
    fold: int | None
    seed: int | None
    context: str | None
    train: int
    validation: int | str
    validation_source: str | None
    validation_contexts: list[str]
    test: int


class FoldsDescription(TypedDict):
    """How many folds are done, and what they found."""

    of: int
    finished: int
    step: int | None
    alone: list[int] | None


class MembersDescription(TypedDict):
    """How many members of an ensemble are done."""

    of: int
    finished: int


class RunDescription(TypedDict):
    """What `scdfm inspect --json` prints about a run, besides what it does now."""

    kind: str
    path: str
    finished: bool
    step: int
    steps: int
    seconds: float
    sessions: int
    best: JsonObject | None  # as best.json has it
    model: str | None
    untrained: str | None  # why the model is that of before the first step; None: it has learnt
    damage: str | None  # of the model, the plan or the journal
    folds: FoldsDescription | None
    ensemble: MembersDescription | None
    split: SplitDescription | None
    settings: JsonObject  # as run.yaml has them


class FlowDescription(TypedDict):
    """The weight of a model's flow beside its base."""

    flow: float
    units: int
    interval: list[float] | None
    guess: bool
    given: bool


class MeanDescription(TypedDict):
    """How a model's means are made."""

    of: str
    flow: FlowDescription
    base: dict[str, str]


class EnsembleDescription(TypedDict):
    """What an ensemble's members are."""

    members: int
    of: str
    seeds: tuple[int, ...]
    steps: tuple[int | None, ...]


class _OfMethod(TypedDict, total=False):
    method: str
    settings: JsonObject
    model: JsonObject  # these three of flow, as the card has them
    source: str
    sampling: JsonObject


class ModelDescription(_OfMethod):
    """What `scdfm inspect --json` prints about a model."""

    kind: str
    path: str
    untrained: str | None  # as of a run
    genes: int
    evaluation_genes: int
    perturbation: str
    perturbations: list[str]
    unmeasured_perturbations: list[str]
    ensemble: EnsembleDescription | None
    weights_bytes: int
    mean: MeanDescription | None
    interval: JsonObject | None
    graph_edges: int
    split: SplitDescription
    provenance: JsonObject


def describe_run(path: Path) -> RunDescription:
    """State, best validation round, split and settings of a run.

    Raises:
        ValueError: The run file is damaged.
    """
    run = RunDirectory(path).fetch()
    best = run.best
    settings = run.settings
    return {
        "kind": "run",
        "path": named(path),
        "finished": run.finished,
        "step": max((line["step"] for line in run.journal.so_far()), default=0),
        "steps": settings.training.steps,
        "seconds": round(run.seconds, 1),
        "sessions": run.sessions,
        "best": best.plain() if best is not None else None,
        "model": named(run.model) if run.model is not None else None,
        "untrained": untrained(run.model),
        "damage": _damage(run),
        "folds": _folds(run, of=settings.validation.folds),
        "ensemble": _members(run, of=settings.ensemble),
        "split": _split(path / SPLIT) if (path / SPLIT).is_file() else None,
        "settings": settings.model_dump(mode="json"),
    }


def describe_model(path: Path) -> ModelDescription:
    """Size, names, split and provenance of a model.

    Raises:
        ValueError: The model is damaged.
    """
    require_whole(path)
    card = read_card(path)
    graph = GeneGraph.load(path / GRAPH)
    return {
        "kind": "model",
        "path": named(path),
        "untrained": untrained(path),
        "genes": len(card.genes),
        "evaluation_genes": len(card.evaluation_genes),
        "perturbation": card.perturbation,
        "perturbations": list(card.perturbations),
        "unmeasured_perturbations": list(card.vocabulary.unmeasured),
        "ensemble": _ensemble(path),
        "weights_bytes": sum((one / WEIGHTS).stat().st_size for one in members_of(path)),
        **_own(card),
        "mean": _mean(path, card),
        "interval": None if card.interval is None else card.interval.model_dump(),
        "graph_edges": graph.edges,
        "split": _split(path / SPLIT),
        "provenance": card.provenance.plain(),
    }


def _own(card: ModelCard) -> _OfMethod:
    """What a model's method was told; flow has sections of its own."""
    if card.method != DEFAULT:
        return {"method": card.method, "settings": card.settings}
    return {
        "model": {**card.model.model_dump(), "heads": card.model.head_count},
        "source": card.source,
        "sampling": card.sampling.model_dump(),
    }


def _mean(path: Path, card: ModelCard) -> MeanDescription | None:
    """How a model's means are made, the weight of its flow, and its base; None without a base."""
    if card.mean is None:
        return None
    interval = card.mean.interval
    return {
        "of": card.mean_in_words,
        "flow": {
            "flow": card.mean.flow,
            "units": card.mean.units,
            "interval": None if interval is None else [round(end, 3) for end in interval],
            "guess": card.mean.guess,
            "given": card.mean.given,
        },
        "base": read_base(members_of(path)[0]).facts(),
    }


def _damage(run: RunDirectory) -> str | None:
    """What is wrong with the model, plan or journal of a run; None where nothing is."""
    try:
        if run.model is not None:
            require_whole(run.model)
        run.require_plan()
        list(run.journal.complete() if run.finished else run.journal.lines())
    except (ValueError, FileNotFoundError) as error:
        held = holder(run.path)
        # Who trains may have put another model or plan there between two looks.
        return None if held is not None and held.alive else str(error)
    return None


def _folds(run: RunDirectory, *, of: int | None) -> FoldsDescription | None:
    """How many folds are done, and what they found; None of a run without."""
    if of is None:
        return None
    found = run.manifest.folds if run.manifest is not None else None
    return {
        "of": of,
        "finished": sum(fold.finished for fold in run.folds),
        "step": None if found is None else found.step,
        "alone": None if found is None else list(found.alone),
    }


def _members(run: RunDirectory, *, of: int | None) -> MembersDescription | None:
    """How many members of an ensemble are done; None of a run of one model."""
    if of is None:
        return None
    return {"of": of, "finished": sum(one.finished for one in run.members or run.folds)}


def _ensemble(path: Path) -> EnsembleDescription | None:
    """What an ensemble's members are; None of one model."""
    if not is_ensemble(path):
        return None
    facts = read_ensemble(path)
    return {
        "members": len(facts.seeds),
        "of": facts.of,
        "seeds": facts.seeds,
        "steps": facts.steps,
    }


def _split(path: Path) -> SplitDescription:
    split = Split.load(path)
    return {
        "kind": split.kind,
        "fold": split.fold,
        "seed": split.seed,
        "context": split.context,
        "train": len(split.train),
        "validation": len(split.validation) or validation_in_words(split),
        "validation_source": split.validation_source,
        "validation_contexts": list(split.validation_contexts),
        "test": len(split.test),
    }
