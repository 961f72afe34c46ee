"""Where a model comes from, as its card says: cells, code, machine, and what chose it.

An older version's record may lack any fact that nothing is computed from, so these have defaults:
no model is refused for what its card does not tell. What a newer version has added is kept.
"""

import math

from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer

from scdfm.flow.certainty.intervals import IntervalFactor
from scdfm.flow.combined import FlowWeight
from scdfm.screen.untyped import JsonObject


class Record(BaseModel, frozen=True, extra="allow"):
    """Facts of a file; what a newer version has added is kept when the file is written again."""

    @model_serializer(mode="wrap")
    def _known(self, handler: SerializerFunctionWrapHandler) -> JsonObject:
        # What nobody has found out is not written, so that a default is never taken for a fact.
        return {name: one for name, one in handler(self).items() if name in self.model_fields_set}

    def plain(self) -> JsonObject:
        """The facts that are known, ready for JSON."""
        return self.model_dump(mode="json", exclude_unset=True)


class Hardware(Record, frozen=True):
    """The machine that computed."""

    machine: str = ""
    cores: int = 0
    gpus: tuple[str, ...] = ()


class ArithmeticFacts(Record, frozen=True):
    """How a machine computed: device, number format, matrix products in use, compiled or not."""

    device: str = ""
    precision: str = ""
    matmul: str = ""
    compiled: bool = False


class GraphFacts(Record, frozen=True):
    """How a run's gene graph came about."""

    kind: str = ""
    edges: int | None = None
    cells: int | None = None  # of a correlation: cells read, and cells there are
    of: int | None = None
    path: str | None = None  # of a user's list: file, hash, and what became of its edges
    sha256: str | None = None
    listed: int | None = None
    outside: int | None = None  # edges that do not join two of the model's genes
    alone: int | None = None  # genes without a neighbour


class SourceFacts(Record, frozen=True):
    """Which model a run starts from, and which tokens it knows."""

    path: str = ""
    run: str | None = None
    step: int | None = None
    weights: str = ""  # sha256
    matched: int = 0
    new: tuple[str, ...] = ()
    left: int = 0
    tested: int = 0  # test units of the run that it has learnt from, being of the same store


class Best(Record, frozen=True):
    """A validation round, such as the one that chose the model: best.json."""

    step: int
    metrics: dict[str, float | None]  # null where undefined


class FoldFacts(Record, frozen=True):
    """What the folds of a run have found."""

    step: int  # how long to train: the round with the best mean over folds
    rounds: tuple[Best, ...] = ()  # means over folds, of every round that all had; empty in a model
    alone: tuple[int, ...] = ()  # steps that each fold by itself found best
    guess: bool = False  # they validate on units that ask another question than test units
    flow: FlowWeight | None = None  # by all folds at that step, where a base is combined with it
    interval: IntervalFactor | None = None  # likewise

    def scores(self, step: int) -> dict[str, float]:
        """The mean over folds of each metric after so many steps; NaN where it is undefined."""
        [at] = (one for one in self.rounds if one.step == step)
        return {name: math.nan if value is None else value for name, value in at.metrics.items()}


class FileFacts(Record, frozen=True):
    """A file that was read."""

    path: str = ""
    sha256: str = ""


class RebuiltGraph(Record, frozen=True):
    """How the authors' gene graph was built again, for a checkpoint without a mask."""

    k: int | None = None
    negative_edges: bool | None = None


class ReleaseFacts(Record, frozen=True):
    """The authors' files that a model was made of."""

    checkpoint: FileFacts | None = None
    mask: FileFacts | None = None
    vocabulary: FileFacts | None = None
    graph: RebuiltGraph | None = None


class Provenance(Record, frozen=True):
    """Where a model comes from."""

    run: str | None = None
    store: str | None = None
    fingerprint: str | None = None  # of the store
    contexts: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default={})
    commit: str | None = None
    hardware: Hardware | None = None
    date: str | None = None
    graph: GraphFacts | None = None
    init_from: SourceFacts | None = None
    folds: FoldFacts | None = None
    arithmetic: ArithmeticFacts | None = None  # of validation
    step: int | None = None  # of the validation round that chose the model, and its scores
    validation: dict[str, float | None] = Field(default={})
    release: ReleaseFacts | None = None

    def with_facts(self, others: "Provenance") -> "Provenance":
        """The same with all that the other says in place of its own."""
        return self.model_copy(
            update={name: getattr(others, name) for name in others.model_fields_set}
        )
