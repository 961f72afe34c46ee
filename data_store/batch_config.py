"""Options of training batches. Loads neither zarr nor pandas."""

from typing import Literal

from pydantic import BaseModel, Field, PositiveInt


class BatchConfig(BaseModel, frozen=True, extra="forbid"):
    """What one training step sees."""

    conditions: PositiveInt = Field(
        default=1, description="Units of a batch (K), each a condition in a context"
    )
    cells: PositiveInt = Field(
        default=96, description="Cells of each unit (B), and as many controls"
    )
    genes: PositiveInt = Field(
        default=1000, description="Genes of a step (s), a random part of the model's"
    )
    sampling: Literal["uniform", "size"] = Field(
        default="uniform", description="Draw units equally often, or by their number of cells"
    )
