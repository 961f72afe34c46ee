"""Options of `train`, `evaluate`, `report`, `predict` and `export`. Loads no torch."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from cluster.settings.choices import Precision
from cluster.settings.group_size import GroupSize


class TrainOptions(BaseModel, frozen=True, extra="forbid"):
    """What training may use, and how many models.

    Of what it may use only the most `workers` change results: a step takes their batches.
    """

    workers: str = Field(
        default="1",
        description="Ray workers, such as 2; 1-4: as many as there is room for. A step takes the "
        "batches of the most",
    )
    cpus_per_worker: PositiveInt | None = Field(
        default=None, description="Cores of each worker (default: an equal share)"
    )
    gpu: bool = Field(default=False, description="A GPU for each worker")
    ensemble: int | None = Field(
        default=None,
        ge=2,
        description="Models to train and use as one, as the setting ensemble (default: one model)",
    )

    @field_validator("workers")
    @classmethod
    def _a_number_or_a_range(cls, given: str) -> str:
        return str(GroupSize.read(given))


class EvaluateOptions(BaseModel, frozen=True, extra="forbid"):
    """How a model is judged."""

    store: str | None = Field(
        default=None,
        description="Store with the cells to judge it on (default: the one it was trained on)",
    )
    split: Path | None = Field(
        default=None, description="File of the split (default: the model's own)"
    )
    predictions: tuple[str, ...] | None = Field(
        default=None,
        description="Another model's predictions: NAME=FILE, cells as .h5ad or .zarr, or a table "
        "of means, .csv or .parquet",
    )
    metrics: tuple[str, ...] | None = Field(
        default=None, description="Metrics to compute: A,B (default: the usual ones)"
    )
    profile: str | None = Field(
        default=None, description="Metrics and cells of a paper or a challenge: paper, vcc, vcc2026"
    )
    cells: PositiveInt | None = Field(
        default=None,
        description="Cells to generate for each condition (default: all controls of its context, "
        "at least as many as were measured, at most 2,000)",
    )
    seed: NonNegativeInt = Field(default=0, description="Seed of the generated cells")
    repeats: PositiveInt = Field(
        default=1, description="Seeds to generate from: their mean and spread are shown"
    )
    untrained: bool = Field(default=False, description="Score the model before training, too")
    precision: Precision = Field(
        default="auto",
        description="Number format of matrix products; auto is float32 on CPU, bf16 on a GPU",
    )
    gpu: bool = Field(default=False, description="Generate on a GPU")
    again: bool = Field(default=False, description="Evaluate also what was evaluated before")

    @field_validator("metrics")
    @classmethod
    def _taken_apart(cls, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if given is None:
            return None
        return tuple(name.strip() for text in given for name in text.split(",") if name.strip())

    @field_validator("predictions")
    @classmethod
    def _named(cls, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        names = []
        for text in given or ():
            name, equals, file = text.partition("=")
            if not (name.strip() and equals and file):
                raise ValueError(
                    f"expected --predictions NAME=FILE, got {text!r}; name the row that it fills"
                )
            names.append(name.strip())
        if len(set(names)) < len(names):
            raise ValueError("each of --predictions needs a name of its own, got one twice")
        return given

    @property
    def files(self) -> dict[str, Path]:
        """Files of predictions by the name of their row."""
        parts = (text.partition("=") for text in self.predictions or ())
        return {name.strip(): Path(file) for name, _, file in parts}


class ReportOptions(BaseModel, frozen=True, extra="forbid"):
    """What a report shows."""

    conditions: tuple[str, ...] | None = Field(
        default=None,
        description="Test conditions to show cell by cell: A,B or a file (default: some, from the "
        "best to the worst)",
    )
    store: str | None = Field(
        default=None,
        description="Store with the cells, for what must be evaluated first (default: the one it "
        "was trained on)",
    )


class PredictOptions(BaseModel, frozen=True, extra="forbid"):
    """What a prediction may use. Only the device changes values."""

    actors: PositiveInt = Field(default=1, description="Ray actors that share the work")
    gpu: bool = Field(default=False, description="A GPU for each actor")
    summary: Path | None = Field(
        default=None,
        description="Write mean and interval of each gene in each condition: .csv or .parquet",
    )


class ExportOptions(BaseModel, frozen=True, extra="forbid"):
    """Which cells of a store go to a file, and in which form."""

    conditions: tuple[str, ...] | None = Field(
        default=None,
        description="Conditions to write: A,B,control or a file: one per line, or CSV with a "
        "column `condition` (default: all, or the prediction's)",
    )
    normalised: bool = Field(
        default=False, description="Write log1p per 10k, and labels as predictions have them"
    )
    genes_of: Path | None = Field(
        default=None,
        description="Model or prediction: write its genes, in its order (needs --normalised)",
    )
    overwrite: bool = Field(default=False, description="Replace what is there")

    @model_validator(mode="after")
    def _counts_keep_all_genes(self) -> Self:
        if self.genes_of is not None and not self.normalised:
            raise ValueError(
                "expected --normalised with --genes-of, got --genes-of alone (counts of some genes "
                "lose their library size); add --normalised or leave --genes-of out"
            )
        return self
