"""A run file: everything that decides what is trained, on what, and how it is judged."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from cluster.runs.choices import Compile, Precision
from cluster.runs.presets import with_preset
from cluster.runs.yaml_file import forgiving_yaml, one_line, set_dotted
from data_store.batch_config import BatchConfig
from scdfm.flow.config import LossConfig, SamplingConfig, Source, TrainingConfig
from scdfm.gene_graph.config import GraphConfig
from scdfm.metrics import METRICS
from scdfm.model.config import ModelConfig
from scdfm.screen.atomic import write_text
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

    metric: Annotated[str, METRICS] = "mse"  # decides which checkpoint is best
    cells: PositiveInt = 128  # cells generated for each unit
    units: PositiveInt = 32  # units scored, at most; a seeded choice
    steps: PositiveInt = 5  # of the solver; fewer than in prediction, since ranks matter here

    @property
    def mode(self) -> Literal["min", "max"]:
        """Which direction of the metric is better."""
        return METRICS[self.metric].mode


class RunConfig(BaseModel, frozen=True, extra="forbid"):
    """One training run. Paths resolve from the working directory.

    `preset: NAME` (cluster.runs.presets) fills in what is left out; it is no setting of its own, so a
    run that is written down spells everything out.
    """

    store: str  # a directory, or an object-store address
    name: Name
    output: Path = Path("runs")  # the run's directory is output/name
    seed: NonNegativeInt = 0
    init_from: Path | None = None  # a model, or a run that has one: the first weights
    split: SplitConfig
    genes: GeneChoice = GeneChoice()
    graph: GraphConfig = GraphConfig()
    model: ModelConfig = ModelConfig()
    source: Source = "noise"
    loss: LossConfig = LossConfig()
    batch: BatchConfig = BatchConfig()
    training: TrainingConfig = TrainingConfig()
    validation: ValidationConfig = ValidationConfig()
    sampling: SamplingConfig = SamplingConfig()
    precision: Precision = "auto"  # of products; cluster.runs.precision tells what auto means
    compile: Annotated[Compile, BeforeValidator(_switch)] = "auto"  # the velocity; on a GPU
    threads: PositiveInt | None = None  # of one worker; none: its share of the cores

    @model_validator(mode="before")
    @classmethod
    def _preset_filled_in(cls, given: Any) -> Any:
        return with_preset(given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def mmd_has_cells_to_compare(self) -> Self:
        if self.loss.mmd_weight and self.batch.cells < 2:
            raise ValueError(
                "the MMD needs batch.cells >= 2, got 1; raise it or set loss.mmd_weight to 0"
            )
        return self

    @model_validator(mode="after")
    def another_control_cell_exists(self) -> Self:
        if self.source == "other_control" and self.batch.cells < 2:
            raise ValueError("source other_control needs batch.cells >= 2, got 1; raise it")
        return self

    @property
    def directory(self) -> Path:
        """Where the run lives."""
        return self.output / self.name


def read_run(path: Path, *, overrides: dict[str, Any] | None = None) -> RunConfig:
    """Read a run file.

    Args:
        path: YAML.
        overrides: Values by dotted name, such as {"model.width": 256}.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not YAML, an unknown key (names the nearest), or a value out of range.
    """
    return make_run(forgiving_yaml(path), where=str(path), overrides=overrides)


def make_run(
    values: dict[str, Any], *, where: str, overrides: dict[str, Any] | None = None
) -> RunConfig:
    """Build a run from plain values.

    Raises:
        ValueError: An unknown key (names the nearest) or a value out of range.
    """
    for name, value in (overrides or {}).items():
        values = set_dotted(values, name, value)
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{where}: {one_line(error, RunConfig)}") from error


def write_run(run: RunConfig, path: Path) -> None:
    """Write a run file with every default spelled out, at once or not at all."""
    write_text(path, yaml.safe_dump(run.model_dump(mode="json"), sort_keys=False))
