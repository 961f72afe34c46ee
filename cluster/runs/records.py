"""Types of a run's records. An older version's record may lack facts, but has no others."""

from pathlib import Path
from typing import Required, TypedDict, TypeVar

from pydantic import BaseModel, Field, ValidationError

from scdfm.flow.provenance import (
    ArithmeticFacts,
    Best,
    FoldFacts,
    GraphFacts,
    Hardware,
    Provenance,
    Record,
    SourceFacts,
)

Kept = TypeVar("Kept", bound=BaseModel)


class Computed(Record, frozen=True):
    """How steps were computed, from one step on."""

    step: int
    device: str
    precision: str
    matmul: str
    compiled: bool
    workers: int | None = None  # none: an older version, which did not write it
    threads: int | None = None  # of each worker
    batches: int | None = None  # of a step, of all workers; none: of as many workers


class FlowRound(Record, frozen=True):
    """What a validation round says of a flow that a base is combined with."""

    weight: float  # of the flow in the mean
    alone: dict[str, float | None]  # its scores without the base
    both: tuple[float, ...]  # of each unit, as `scdfm.flow.combined.Evidence` has them
    square: tuple[float, ...]

    def line(self) -> "FlowLine":
        """The same as it stands in the journal."""
        return {
            "weight": self.weight,
            "alone": self.alone,
            "both": list(self.both),
            "square": list(self.square),
        }


class RunManifest(Record, frozen=True):
    """What a run was begun with: manifest.json."""

    run: str
    store: str
    fingerprint: str
    contexts: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default={})
    commit: str | None = None
    hardware: Hardware | None = None
    date: str | None = None
    graph: GraphFacts | None = None
    init_from: SourceFacts | None = None
    plan: dict[str, str] = Field(default={})  # SHA-256 of its files; none: of an older version
    arithmetic: tuple[Computed, ...] = ()
    folds: FoldFacts | None = None  # once all are trained

    def of_model(
        self, *, arithmetic: ArithmeticFacts, step: int, validation: dict[str, float | None]
    ) -> Provenance:
        """What a model that was learnt in this session says of where it comes from.

        Args:
            arithmetic: How this machine computes.
            step: Of the validation round that chose the model.
            validation: Its scores.
        """
        shared = self.model_fields_set & Provenance.model_fields.keys() - {"arithmetic"}
        return Provenance(
            **{name: getattr(self, name) for name in shared},
            arithmetic=arithmetic,
            step=step,
            validation=validation,
        )


class Finished(Best, frozen=True):
    """The last file of a run: result.json."""

    steps: int


class FlowLine(TypedDict):
    """A `FlowRound` in a line of the journal."""

    weight: float
    alone: dict[str, float | None]
    both: list[float]
    square: list[float]


class IntervalLine(TypedDict):
    """An `IntervalFactor` in a line of the journal."""

    factor: float
    units: int
    guess: bool


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
    flow: FlowLine  # beside a base
    shape: float  # mmd2 of the flow's own cells, which decides between rounds of one score
    interval: IntervalLine  # how wide intervals must be
    loss: float  # and each of its parts under its own name, such as cfm and mmd
    gradient_norm: float  # before it is limited; the mean over the line's steps, as the losses
    learning_rate: float
    steps_per_second: float  # of older journals; now times.jsonl has it, and who is told of a line


def read_record(path: Path, kind: type[Kept]) -> Kept | None:
    """Read a record; None where there is no file.

    Raises:
        ValueError: The file is damaged.
    """
    if not path.is_file():
        return None
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{path} is damaged ({where + ': ' if where else ''}{first['msg']}); restore the file"
        ) from None
