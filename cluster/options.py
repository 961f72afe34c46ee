"""Options of `train`, `evaluate`, `predict` and `export`. Loads no torch."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, PositiveInt, model_validator

from cluster.settings.choices import Precision


class TrainOptions(BaseModel, frozen=True, extra="forbid"):
    """What training may use. Only `workers` changes results: a step takes one batch of each."""

    workers: PositiveInt = Field(
        default=1, description="Ray workers; a step takes one batch of each"
    )
    cpus_per_worker: PositiveInt | None = Field(
        default=None, description="Cores of each worker (default: an equal share)"
    )
    gpu: bool = Field(default=False, description="A GPU for each worker")


class EvaluateOptions(BaseModel, frozen=True, extra="forbid"):
    """How a model is judged."""

    store: str | None = Field(
        default=None,
        description="Store with the cells to judge it on (default: the one it was trained on)",
    )
    cells: PositiveInt | None = Field(
        default=None,
        description="Cells to generate for each condition (default: as many as were measured)",
    )
    untrained: bool = Field(default=False, description="Score the model before training, too")
    precision: Precision = Field(
        default="auto",
        description="Number format of matrix products; auto is float32 on CPU, bf16 on a GPU",
    )
    gpu: bool = Field(default=False, description="Generate on a GPU")


class PredictOptions(BaseModel, frozen=True, extra="forbid"):
    """What a prediction may use. Only the device changes values."""

    actors: PositiveInt = Field(default=1, description="Ray actors that share the work")
    gpu: bool = Field(default=False, description="A GPU for each actor")


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
