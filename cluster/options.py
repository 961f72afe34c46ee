"""What `train` and `evaluate` may be asked beside the run and the model. Loads no torch."""

from pydantic import BaseModel, Field, PositiveInt

from cluster.runs.choices import Precision


class TrainOptions(BaseModel, frozen=True, extra="forbid"):
    """What training may use. Only `workers` decides values: a step sees one batch of each."""

    workers: PositiveInt = Field(
        default=1, description="Ray workers; a step takes one batch of each"
    )
    cpus_per_worker: PositiveInt | None = Field(
        default=None, description="Cores of each worker; else an equal share"
    )
    gpu: bool = Field(default=False, description="A GPU for each worker")


class EvaluateOptions(BaseModel, frozen=True, extra="forbid"):
    """How a model is judged."""

    store: str | None = Field(
        default=None, description="Cells to judge it on; else those it was trained on"
    )
    cells: PositiveInt | None = Field(
        default=None, description="Generated for each condition; else as many as are real"
    )
    untrained: bool = Field(default=False, description="Judge the model before training, too")
    precision: Precision = Field(
        default="auto", description="Of products; auto is float32 on CPU, bf16 on a GPU"
    )
    gpu: bool = Field(default=False, description="Generate on a GPU")
