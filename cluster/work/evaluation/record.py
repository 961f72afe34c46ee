"""An evaluation as a record: a table for each row, what it was computed on, and how sure it is."""

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    WrapSerializer,
)

from scdfm.flow.combined import FlowWeight
from scdfm.flow.config import SamplingConfig
from scdfm.flow.provenance import ArithmeticFacts, Record
from scdfm.metrics import Table
from scdfm.metrics.table import Number
from scdfm.screen.untyped import JsonObject
from scdfm.splits import Split

OURS, UNTRAINED, CEILING = "scDFM", "untrained", "noise ceiling"
FLOW = "flow alone"  # of a model that combines its flow with a base

RowKind = Literal["model", "flow", "untrained", "baseline", "ceiling", "prediction"]


class RowFacts(BaseModel, frozen=True, extra="forbid"):
    """What a row of the tables is."""

    kind: RowKind
    source: str = ""  # file of somebody else's predictions
    cells: NonNegativeInt = 0  # cells it was scored on, over all units; 0: only means
    incomplete: NonNegativeInt = 0  # units for which it lacked something


class UnitFacts(BaseModel, frozen=True, extra="forbid"):
    """A test unit: a condition in a context."""

    context: str
    condition: str  # canonical name
    label: str  # as the data write it
    cells: PositiveInt  # measured
    controls: PositiveInt  # measured, of its context
    generated: NonNegativeInt  # by the model, for one seed; 0 without a model
    tag: str = ""  # of the split


def no_difference(value: float, interval: tuple[float, float] | None, *, pairs: int) -> bool:
    """Whether every pair has the same score: an interval of one value would look like much.

    Args:
        value: Mean difference.
        interval: Of it; none: nothing could be drawn.
        pairs: Where both scores are defined.
    """
    alone = interval is None and pairs == 1
    return value == 0 and (alone or interval == (0, 0))


class Difference(BaseModel, frozen=True, extra="forbid"):
    """How a row differs from another by a metric: this row's value minus the other's, paired."""

    value: Number  # mean over conditions where both are defined
    interval: tuple[Number, Number] | None = None  # 95 %
    wins: NonNegativeInt  # conditions where this row is better
    losses: NonNegativeInt
    conditions: NonNegativeInt  # where both are defined
    within_noise: bool | None  # whether the interval holds 0; None: there is no interval

    @property
    def identical(self) -> bool:
        """Whether every condition has the same score in both rows."""
        return no_difference(self.value, self.interval, pairs=self.conditions)


class Noise(BaseModel, frozen=True, extra="forbid"):
    """How intervals, the ceiling and the correction by starting cells were computed."""

    level: float = 0.95
    over: Literal["conditions and cells", "cells", "nothing"]  # what was drawn again
    draws: NonNegativeInt = 0
    halvings: NonNegativeInt = 0  # of the noise ceiling, for metrics of means
    cell_halvings: NonNegativeInt = 0  # the same for metrics of cells
    corrected: NonNegativeInt = 0  # units whose mean was corrected by its starting cells
    generated: Number | None = None  # variance of a model's mean by its cells, averaged over genes
    variance_left: Number | None = None  # of a mean, after the correction, as a share


class SplitFacts(Record, frozen=True):
    """Which split test units are of."""

    kind: str
    seed: int | None = None
    fold: int | None = None
    context: str | None = None


class AskedFacts(BaseModel, frozen=True, extra="forbid"):
    """What an evaluation was asked for, so that it can be told whether it was done before."""

    metrics: tuple[str, ...]
    cells: PositiveInt | None  # of each unit, where a number was asked for
    seed: NonNegativeInt
    repeats: PositiveInt
    untrained: bool
    split: str  # sha256
    device: Literal["cpu", "cuda"]
    precision: str  # as it was asked for
    predictions: dict[str, str] = {}  # sha256 of others' predictions, by row


def _none_of_empty(given: object) -> object:
    return given or None


def _empty_of_none(given: BaseModel | None, handler: SerializerFunctionWrapHandler) -> JsonObject:
    return {} if given is None else handler(given)


# Of a model; where none was judged it is written as {}.
_Absent = (BeforeValidator(_none_of_empty), WrapSerializer(_empty_of_none))


class Evaluation(BaseModel, frozen=True, extra="forbid"):
    """A table of metrics for the model and each baseline, and what it was computed on."""

    schema_version: Literal[1] = 1
    model: str | None  # None: only predictions of others were judged
    weights: str | None = None  # sha256 of the model's
    store: str
    fingerprint: str
    split: SplitFacts
    tags: dict[str, str]  # of test conditions
    genes: NonNegativeInt  # evaluation genes
    genes_of_all_cells: NonNegativeInt | None  # `ingest --genes N`: chosen on test cells, too
    conditions: NonNegativeInt  # test conditions
    cells: NonNegativeInt  # cells generated by the model for one seed, over all units
    method: str | None = None
    sampling: Annotated[SamplingConfig | None, *_Absent] = None
    generated: str = ""  # how, in a few words
    mean: str = ""  # how the model's means are made, likewise, where they have a base
    flow: FlowWeight | None = None  # of the model, beside its base
    seeds: tuple[NonNegativeInt, ...] = ()
    clamped: bool = True  # means below 0 are 0 in every row
    arithmetic: Annotated[ArithmeticFacts | None, *_Absent] = None
    tables: dict[str, Table]  # by row: scDFM, untrained, shrunken, scaled, additive, ...
    profile: str | None = None  # of metrics that was asked for
    asked: AskedFacts | None = None  # None: nobody has written it down
    rescaled: dict[str, dict[str, Number]] = {}  # by row; 0 the perturbed mean, 1 real cells
    # mmd2 and energy_distance of each row over those of a row whose cells are moved controls.
    over_moved_controls: dict[str, dict[str, dict[str, Number]]] = {}  # by that row, row, metric
    rows: dict[str, RowFacts] = {}
    differences: dict[str, dict[str, Difference]] = {}  # the first row minus each other, by metric
    units: tuple[UnitFacts, ...] = ()
    noise: Noise | None = None
    incomplete: dict[str, NonNegativeInt] = {}  # units for which a baseline lacked something
    versions: dict[str, str] = {}
    commit: str | None = None
    code: str | None = None  # sha256 of all that computed; None: nobody has written it down
    date: str | None = None
    seconds: float = 0.0

    def tests(self, split: Split) -> bool:
        """Whether it is of the test conditions of a split; True where it does not say.

        A split of lists says no more of itself than others do. In a context that is held out some
        of the conditions may not be measured.
        """
        tested, asked = {unit.condition for unit in self.units}, {*split.test}
        return not tested or tested == asked or (split.context is not None and tested < asked)
