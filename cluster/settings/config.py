"""A run file: everything that decides what is trained, on what, and how it is judged."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    field_serializer,
    model_validator,
)

from cluster.settings.booleans import boolean_for_number
from cluster.settings.choices import Compile, Precision
from cluster.settings.failure import FailureLimits
from cluster.settings.presets import with_preset
from cluster.settings.watch import USUAL, Watch
from cluster.settings.yaml_file import forgiving_yaml, one_line, set_dotted
from cluster.storage.places import local, named
from data_store.batch_config import BatchConfig
from scdfm.flow.config import LossConfig, SamplingConfig, Source, TrainingConfig
from scdfm.flow.sources import SOURCES
from scdfm.gene_graph.config import GraphConfig
from scdfm.method import DEFAULT, METHODS
from scdfm.metrics.registry import METRICS, RoundMetric
from scdfm.model.config import ModelConfig
from scdfm.screen.atomic import write_text
from scdfm.screen.untyped import Unchecked
from scdfm.screen.variable_genes import GeneChoice
from scdfm.splits import SplitConfig


def _switch(given: Any) -> Any:
    """YAML reads a bare on as true and off as false."""
    return {True: "on", False: "off"}[given] if isinstance(given, bool) else given


def _folder_name(given: str) -> str:
    """A name is one folder below `output`: never that folder's parent, itself or a hidden one."""
    if not re.fullmatch(r"\w[\w.-]*", given):
        raise ValueError(
            "a name begins with a letter or digit and holds letters, digits, '.', '_' and '-'; "
            "choose another"
        )
    return given


Name = Annotated[str, AfterValidator(_folder_name)]


class ValidationConfig(BaseModel, frozen=True, extra="forbid"):
    """How a validation round scores the model."""

    metric: RoundMetric = Field(
        default="mse", description="Metric of validation that decides which checkpoint is best"
    )
    cells: PositiveInt = Field(
        default=128, description="Cells generated for each unit (a condition in a context)"
    )
    units: PositiveInt = Field(default=32, description="Units scored, at most; chosen by the seed")
    steps: PositiveInt = Field(
        default=5,
        description="Steps of the solver; fewer than in prediction, since only ranks matter",
    )
    folds: int | None = Field(
        default=None,
        ge=2,
        description="For small screens: so many models, each without another share of what can "
        "validate, choose the steps; then one trains on all (default: validation conditions)",
    )

    @property
    def mode(self) -> Literal["min", "max"]:
        """Which direction of the metric is better."""
        return METRICS[self.metric].mode


class RunConfig(BaseModel, frozen=True, extra="forbid"):
    """One training run. Paths resolve from the working directory.

    `preset: NAME` (cluster.settings.presets) fills in what is left out. It is not a setting itself:
    the run.yaml of a run spells out every setting instead.
    """

    store: str = Field(description="Directory of the store, or its address in an object store")
    name: Name = Field(description="Name of the run; its directory is OUTPUT/NAME")
    output: Path = Field(
        default=Path("runs"), description="Folder of runs, or its address in an object store"
    )
    seed: NonNegativeInt = Field(default=0, description="Seed of every random draw")
    init_from: Path | None = Field(
        default=None, description="Model, or run with one, whose weights to start from"
    )
    ensemble: int | None = Field(
        default=None,
        ge=2,
        description="Models to train and use as one: from so many seeds, or the validation folds "
        "(default: one model)",
    )
    split: SplitConfig = Field(description="Which conditions train, validate and test")
    genes: GeneChoice = Field(
        default=GeneChoice(), description="How many genes, and how they are chosen"
    )
    graph: GraphConfig = Field(default=GraphConfig(), description="Which genes see each other")
    method: Annotated[str, METHODS] = Field(default=DEFAULT, description="What is trained")
    settings: Unchecked = Field(
        default={},
        description="Settings of another method than flow; flow has the four sections below",
    )
    model: ModelConfig = Field(
        default=ModelConfig(), description="Size and form of the velocity field"
    )
    source: Source = Field(
        default="noise",
        description="Where a path starts: noise N(0, 1), the control cell, or another control cell",
    )
    loss: LossConfig = Field(default=LossConfig(), description="What a training step minimises")
    batch: BatchConfig = Field(default=BatchConfig(), description="What one training step sees")
    training: TrainingConfig = Field(
        default=TrainingConfig(), description="How long and how fast to learn, and when to stop"
    )
    validation: ValidationConfig = Field(
        default=ValidationConfig(), description="How a validation round scores the model"
    )
    sampling: SamplingConfig = Field(
        default=SamplingConfig(), description="How cells are generated"
    )
    precision: Precision = Field(
        default="auto",
        description="Format of matrix products; auto: float32 on CPU, bf16 on a GPU that has it",
    )
    compile: Annotated[Compile, BeforeValidator(_switch)] = Field(
        default="auto", description="Compile the velocity; auto: on a GPU where the compiler works"
    )
    threads: PositiveInt | None = Field(
        default=None, description="Threads of one worker (default: its share of the cores)"
    )
    failure: FailureLimits = Field(
        default=FailureLimits(),
        description="How often workers start again, and how long the run waits for them",
    )
    watch: Watch = Field(
        default=USUAL, description="Where curves are shown: tensorboard (usual), wandb, mlflow"
    )

    @model_validator(mode="before")
    @classmethod
    def _preset_filled_in(cls, given: Any) -> Any:
        return with_preset(given) if isinstance(given, dict) else given

    @model_validator(mode="before")
    @classmethod
    def _settings_spelled_out(cls, given: Any) -> Any:
        """Check the settings of a method that is not flow, and fill in those left out."""
        method = given.get("method", DEFAULT) if isinstance(given, dict) else DEFAULT
        if method == DEFAULT or method not in METHODS:
            return given
        known = METHODS[method].Settings
        if fault := boolean_for_number(given.get("settings"), known):
            raise ValueError(f"settings of method {method}: {fault}")
        try:
            settings = known.model_validate(given.get("settings", {}))
        except ValidationError as error:
            raise ValueError(f"settings of method {method}: {one_line(error, known)}") from error
        return {**given, "settings": settings.model_dump(mode="json")}

    @model_validator(mode="after")
    def _only_what_its_method_reads(self) -> Self:
        if self.method == DEFAULT:
            if self.settings:
                raise ValueError(
                    f"method {DEFAULT} takes no settings, got {sorted(self.settings)}; "
                    "use model, source, loss and sampling, or name another method"
                )
            return self
        ignored = {
            "model": (self.model, ModelConfig()),
            "source": (self.source, "noise"),
            "loss": (self.loss, LossConfig()),
            "sampling": (self.sampling, SamplingConfig(batch=self.sampling.batch)),
            "init_from": (self.init_from, None),
            "validation.steps": (self.validation.steps, ValidationConfig().steps),
            "training.checkpoint_activations": (self.training.checkpoint_activations, False),
        }
        for name, (given, usual) in ignored.items():
            if given != usual:
                raise ValueError(
                    f"{name} belongs to method {DEFAULT}, and method {self.method} would ignore "
                    f"it; remove it (settings holds what {self.method} reads)"
                )
        if self.compile == "on":
            raise ValueError(f"method {self.method} has nothing to compile; set compile to auto")
        return self

    @model_validator(mode="after")
    def _no_steps_where_none_are_taken(self) -> Self:
        if METHODS[self.method].fits:
            usual = (TrainingConfig(), BatchConfig(genes=self.batch.genes))
            for name, default in zip(("training", "batch"), usual, strict=True):
                if getattr(self, name) != default:
                    raise ValueError(
                        f"method {self.method} learns at once and takes no steps, so it would "
                        f"ignore {name}; remove it"
                    )
        return self

    @model_validator(mode="after")
    def members_differ(self) -> Self:
        if self.ensemble is None:
            return self
        folds = self.validation.folds
        if folds not in (None, self.ensemble):
            raise ValueError(
                f"the members of an ensemble are the folds where there are some, got "
                f"ensemble={self.ensemble} and validation.folds={folds}; set both to the same"
            )
        if METHODS[self.method].fits and folds is None:
            raise ValueError(
                f"method {self.method} draws nothing, so its members would all be the same; leave "
                "ensemble out, or set validation.folds"
            )
        return self

    @model_validator(mode="after")
    def mmd_has_cells_to_compare(self) -> Self:
        if self.method == DEFAULT and self.loss.mmd_weight and self.batch.cells < 2:
            raise ValueError(
                "the MMD needs batch.cells >= 2, got 1; raise it or set loss.mmd_weight to 0"
            )
        return self

    @model_validator(mode="after")
    def another_control_cell_exists(self) -> Self:
        if self.batch.cells < 2 and SOURCES[self.source].apart:
            raise ValueError(f"source {self.source} needs batch.cells >= 2, got 1; raise it")
        return self

    @model_validator(mode="after")
    def pairs_are_of_cells(self) -> Self:
        if self.loss.pairs == "optimal" and not SOURCES[self.source].cells:
            raise ValueError(
                f"loss.pairs optimal pairs cells with cells, and source {self.source} does not "
                "start from cells; set loss.pairs to drawn or source to other_control"
            )
        return self

    @model_validator(mode="after")
    def guidance_knows_the_unknown(self) -> Self:
        if self.sampling.guidance != 1 and not self.model.token_dropout:
            raise ValueError(
                f"sampling.guidance {self.sampling.guidance:g} goes away from the velocity of "
                "unknown tokens, which no step would train; set model.token_dropout, such as 0.1"
            )
        return self

    @model_validator(mode="after")
    def rank_limits_something(self) -> Self:
        most = min(self.batch.genes, self.genes.model)
        if self.model.rank is not None and self.model.rank >= most:
            raise ValueError(
                f"model.rank must be below the genes of a step, or it limits nothing: got "
                f"model.rank={self.model.rank} and {most} genes; lower it, or raise batch.genes "
                "and genes.model"
            )
        return self

    @field_serializer("output")
    def _as_named(self, output: Path) -> str:
        return named(output)

    @property
    def directory(self) -> Path:
        """Where the run lives; of one in an object store, where this process works on it."""
        return local(self.output) / self.name


OF_SWEEPS = frozenset({"base", "space", "configurations"})
"""Sections of a sweep file; no run file has one of these."""


def read_run(path: Path, *, overrides: Unchecked | None = None) -> RunConfig:
    """Read a run file.

    Args:
        path: YAML.
        overrides: Values by dotted name, such as {"model.width": 256}.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not YAML, an unknown key (names the nearest), or a value out of range.
    """
    return make_run(forgiving_yaml(path), where=str(path), overrides=overrides)


def set_setting(values: Unchecked, name: str, value: Any) -> Unchecked:
    """Set a run's setting by its dotted name, also inside `graph: spearman` or `mean: shrunken`.

    Raises:
        ValueError: The name leads through a plain value.
    """
    for short, first in (("graph", "kind"), ("sampling.mean", "base")):
        given = _at(values, short)
        if name.startswith(f"{short}.") and isinstance(given, str):
            values = set_dotted(values, short, {first: given})
    return set_dotted(values, name, value)


def _at(values: Any, name: str) -> Any:
    """The value of a dotted name; None where there is none."""
    for part in name.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def make_run(values: Unchecked, *, where: str, overrides: Unchecked | None = None) -> RunConfig:
    """Build a run from plain values.

    Raises:
        ValueError: A sweep, an unknown key (names the nearest) or a value out of range.
    """
    if OF_SWEEPS & values.keys():
        raise ValueError(f"{where} is a sweep file, expected a run; use `scdfm tune`")
    for name, value in (overrides or {}).items():
        values = set_setting(values, name, value)
    if fault := boolean_for_number(values, RunConfig):
        raise ValueError(f"{where}: {fault}")
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{where}: {one_line(error, RunConfig)}") from None


def write_run(run: RunConfig, path: Path) -> None:
    """Write a run file with every default spelled out, at once or not at all."""
    write_text(path, yaml.safe_dump(run.model_dump(mode="json"), sort_keys=False))
