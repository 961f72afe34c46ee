"""What a user may ask of a prediction. Loads no torch."""

from pathlib import Path

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt

from cluster.settings.choices import Precision

_LIST = "or a file: one per line, or CSV with a column"


class PredictionRequest(BaseModel, frozen=True, extra="forbid"):
    """What to predict and where to put it."""

    model: Path = Field(description="A model's directory, or that of its run")
    store: str = Field(description="The store whose controls are perturbed")
    conditions: tuple[str, ...] = Field(
        min_length=1, description=f"A,B,A+B in any order of tokens, {_LIST} `condition`"
    )
    out: Path = Field(description="Cells to write, .h5ad or .zarr")
    contexts: tuple[str, ...] | None = Field(
        default=None, description=f"Of the controls: A,B {_LIST} `context`; else all"
    )
    cells: PositiveInt = Field(default=256, description="For each condition and context")
    genes: tuple[str, ...] | None = Field(
        default=None, description=f"A,B {_LIST} `gene`; else all of the model"
    )
    seed: NonNegativeInt = Field(default=0, description="Decides every draw")
    controls: bool = Field(
        default=False, description="Put the control cells of the contexts beside"
    )
    precision: Precision = Field(
        default="auto", description="Of products; auto is float32 on CPU, bf16 on a GPU"
    )
    overwrite: bool = Field(default=False, description="Replace what is there, or was begun there")
