"""Options of a prediction. Loads no torch."""

from pathlib import Path

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt

from cluster.settings.choices import Precision

_LIST = "or a file: one per line, or CSV with a column"


class PredictionRequest(BaseModel, frozen=True, extra="forbid"):
    """What to predict and where to put it."""

    model: Path = Field(description="A model's directory, or that of its run")
    store: str = Field(description="The store whose controls are perturbed")
    conditions: tuple[str, ...] = Field(
        min_length=1,
        description=f"Conditions to predict: A,B,A+B in any order of tokens, {_LIST} `condition`",
    )
    out: Path = Field(description="Cells to write, .h5ad or .zarr")
    contexts: tuple[str, ...] | None = Field(
        default=None,
        description=f"Contexts of the controls: A,B {_LIST} `context` (default: all)",
    )
    cells: PositiveInt = Field(default=256, description="Cells for each condition and context")
    genes: tuple[str, ...] | None = Field(
        default=None,
        description=f"Genes to write: A,B {_LIST} `gene` (default: all of the model)",
    )
    seed: NonNegativeInt = Field(default=0, description="Seed of every random draw")
    interval: float = Field(
        default=0.9,
        gt=0,
        lt=1,
        description="Share of cases in which the true mean should be within its interval",
    )
    controls: bool = Field(
        default=False, description="Write the control cells of the contexts, too"
    )
    precision: Precision = Field(
        default="auto",
        description="Number format of matrix products; auto is float32 on CPU, bf16 on a GPU",
    )
    overwrite: bool = Field(default=False, description="Replace what is there, or was begun there")
