"""What a user may ask of training batches. Loads neither zarr nor pandas."""

from typing import Literal

from pydantic import BaseModel, PositiveInt


class BatchConfig(BaseModel, frozen=True, extra="forbid"):
    """What one training step sees."""

    conditions: PositiveInt = 1  # K, units of a batch
    cells: PositiveInt = 96  # B, cells of each
    genes: PositiveInt = 1000  # s
    sampling: Literal["uniform", "size"] = "uniform"  # units alike, or by their number of cells
