"""Types of a run's records. An older version's record may lack facts, but has no others."""

import math
from typing import Any, Required, TypedDict

from pydantic import BaseModel

from scdfm.flow.certainty.intervals import IntervalFactor
from scdfm.flow.combined import FlowWeight


class _Record(BaseModel, frozen=True, extra="allow"):
    """Facts of a file; what a newer version has added is kept when the file is written again."""

    def plain(self) -> dict[str, Any]:
        """The facts that are known, ready for JSON."""
        return self.model_dump(mode="json", exclude_unset=True)


class Hardware(_Record, frozen=True):
    """The machine that computed."""

    machine: str
    cores: int
    gpus: tuple[str, ...]


class GraphFacts(_Record, frozen=True):
    """How a run's gene graph came about."""

    kind: str
    edges: int
    cells: int | None = None  # of a correlation: cells read, and cells there are
    of: int | None = None
    path: str | None = None  # of a user's list: file, hash, and what became of its edges
    sha256: str | None = None
    listed: int | None = None
    outside: int | None = None  # edges that do not join two of the model's genes
    alone: int | None = None  # genes without a neighbour


class SourceFacts(_Record, frozen=True):
    """Which model a run starts from, and which tokens it knows."""

    path: str
    run: str | None
    step: int | None
    weights: str  # sha256
    matched: int
    new: tuple[str, ...]
    left: int


class Computed(_Record, frozen=True):
    """How steps were computed, from one step on."""

    step: int
    device: str
    precision: str
    matmul: str
    compiled: bool
    workers: int | None = None  # none: an older version, which did not write it
    threads: int | None = None  # of each worker
    batches: int | None = None  # of a step, of all workers; none: of as many workers


class Best(_Record, frozen=True):
    """A validation round, such as the one that chose the model: best.json."""

    step: int
    metrics: dict[str, float | None]  # null where undefined


class FlowRound(_Record, frozen=True):
    """What a validation round says of a flow that a base is combined with."""

    weight: float  # of the flow in the mean
    alone: dict[str, float | None]  # its scores without the base
    both: tuple[float, ...]  # of each unit, as `scdfm.flow.combined.Evidence` has them
    square: tuple[float, ...]


class FoldFacts(_Record, frozen=True):
    """What the folds of a run have found."""

    step: int  # how long to train: the round with the best mean over folds
    rounds: tuple[Best, ...]  # means over folds, of every round that all had; empty in a model
    alone: tuple[int, ...]  # steps that each fold by itself found best
    guess: bool = False  # they validate on units that ask another question than test units
    flow: FlowWeight | None = None  # by all folds at that step, where a base is combined with it
    interval: IntervalFactor | None = None  # likewise

    def scores(self, step: int) -> dict[str, float]:
        """The mean over folds of each metric after so many steps; NaN where it is undefined."""
        [at] = (one for one in self.rounds if one.step == step)
        return {name: math.nan if value is None else value for name, value in at.metrics.items()}


class RunManifest(_Record, frozen=True):
    """What a run was begun with: manifest.json."""

    run: str
    store: str
    fingerprint: str
    contexts: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    commit: str | None = None
    hardware: Hardware | None = None
    date: str | None = None
    graph: GraphFacts | None = None
    init_from: SourceFacts | None = None
    arithmetic: tuple[Computed, ...] = ()
    folds: FoldFacts | None = None  # once all are trained


class Finished(Best, frozen=True):
    """The last file of a run: result.json."""

    steps: int


class Line(TypedDict, total=False):
    """A line of metrics.jsonl: a logged step, a validation round, or a note."""

    step: Required[int]
    steps: int  # of the whole run
    fold: int  # of a run with folds, while they train: which, from 1, and how many
    folds: int
    member: int  # of an ensemble, while they train: likewise
    members: int
    note: str
    validation: dict[str, float | None]
    best: bool  # this round has the best model so far
    flow: dict[str, Any]  # beside a base: see FlowRound
    interval: dict[str, Any]  # how wide intervals must be: see IntervalFactor
    loss: float  # and each of its parts under its own name, such as cfm and mmd
    gradient_norm: float  # before it is limited; the mean over the line's steps, as the losses
    learning_rate: float
    steps_per_second: float  # of older journals; now times.jsonl has it, and who is told of a line
